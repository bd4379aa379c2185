"""What the precision of products costs on this machine."""

from __future__ import annotations

from collections.abc import Mapping

import torch

# By architecture: what a processor must have one of to multiply in bfloat16; elsewhere nothing is known.
BF16_PRODUCTS = {
    "x86_64": ("avx512_bf16", "amx_bf16"),
    "amd64": ("avx512_bf16", "amx_bf16"),
    "aarch64": ("bf16", "arm_bf16", "sve_bf16"),
}


def has_bf16_products(capabilities: Mapping[str, object] | None = None) -> bool:
    """Say whether this CPU multiplies in bfloat16; without, each product is made of conversions."""
    of_cpu = torch.cpu.get_capabilities() if capabilities is None else capabilities
    names = BF16_PRODUCTS.get(str(of_cpu.get("architecture", "")).lower(), ())
    return not names or any(of_cpu.get(name) for name in names)


def bf16_note() -> str | None:
    """Say what `bf16` costs on a CPU that has no products for it."""
    if has_bf16_products():
        return None
    return (
        "`bf16` makes training about ten times slower here: this CPU has no products of bfloat16 "
        f"({', '.join(BF16_PRODUCTS['x86_64'])}); leave `bf16` out to train in fp32"
    )
