from collections.abc import Callable

class Kernel:
    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., object]: ...

liger_cross_entropy_kernel: Kernel
