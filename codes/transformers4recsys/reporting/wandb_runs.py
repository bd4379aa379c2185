"""W&B: online where it can be, else in files on this machine, and never a reason for a run to stop."""

from __future__ import annotations

import importlib.util
import logging
import netrc
import os
import socket
import sys
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from transformers import TrainerCallback
from transformers.integrations.integration_utils import WandbCallback

log = logging.getLogger(__name__)

# How long a server may take to answer, to take up a run, and to get its last lines, in seconds.
SECONDS_TO_ANSWER, SECONDS_TO_BEGIN, SECONDS_TO_END = 4.0, 20, 60
YES = ("1", "true", "yes", "on")


def open_run(*, group: str, run_name: str, settings: Mapping[str, Any]) -> TrainerCallback | None:
    """Begin a run, offline where the server or the key is missing; None where there is no W&B or it is disabled."""
    if not is_installed():
        log.warning("W&B is not installed (pip install wandb): TensorBoard's files in runs/ hold the log")
        return None
    mode = {"dryrun": "offline"}.get(os.environ.get("WANDB_MODE", ""), os.environ.get("WANDB_MODE", "online"))
    if mode == "disabled" or os.environ.get("WANDB_DISABLED", "").lower() in YES:
        log.warning("W&B is disabled by the environment: TensorBoard's files in runs/ hold the log")
        return None
    reason = None if mode == "offline" else _reason_to_stay_offline()
    if mode != "offline" and reason is None:
        try:
            return _begin(mode, group, run_name, settings)
        except Exception as error:
            reason = str(error).splitlines()[0]
    if reason is not None:
        log.warning("W&B is offline, the log is kept in wandb/ (wandb sync sends it later): %s", reason)
    try:
        return _begin("offline", group, run_name, settings)
    except Exception as error:
        log.warning("W&B is left out, TensorBoard's files in runs/ hold the log: %s", str(error).splitlines()[0])
        return None


def close_run() -> None:
    """End the run, if one was begun, so that its files are whole."""
    if "wandb" in sys.modules and is_installed():
        sys.modules["wandb"].finish()


def is_installed() -> bool:
    """Say whether the package is there; a folder of that name, such as W&B's own files, is none."""
    spec = importlib.util.find_spec("wandb")
    return spec is not None and spec.origin is not None


def is_set_up() -> bool:
    """Say whether W&B is installed and has a mode or a key: what is meant by "auto"."""
    if not is_installed():
        return False
    return bool({"WANDB_MODE", "WANDB_API_KEY"} & os.environ.keys()) or _is_in_netrc()


def _begin(mode: str, group: str, run_name: str, settings: Mapping[str, Any]) -> TrainerCallback:
    import wandb

    wandb.init(
        project=os.environ.get("WANDB_PROJECT", "transformers4recsys"),
        group=group,
        name=run_name,
        config=dict(settings),
        mode=mode,  # pyright: ignore[reportArgumentType]
    )
    return WandbCallback()


def _reason_to_stay_offline() -> str | None:
    # W&B itself would wait for minutes.
    os.environ.setdefault("WANDB_INIT_TIMEOUT", str(SECONDS_TO_BEGIN))
    os.environ.setdefault("WANDB_FINISH_TIMEOUT", str(SECONDS_TO_END))
    if not os.environ.get("WANDB_API_KEY") and not _is_in_netrc():
        return "there is no API key; set WANDB_API_KEY or run wandb login"
    return None if _answers(_server()) else f"{_server()} does not answer"


def _server() -> str:
    import wandb

    return os.environ.get("WANDB_BASE_URL") or wandb.setup().settings.base_url


def _answers(server: str) -> bool:
    """Say whether anything listens at this address; behind a proxy W&B has to find that out."""
    parts = urlsplit(server)
    if parts.scheme in getproxies():
        return True
    has_answered = threading.Event()

    def knock() -> None:
        try:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            socket.create_connection((parts.hostname or "", port), SECONDS_TO_ANSWER).close()
            has_answered.set()
        except OSError:
            pass

    # Finding the address of a name has no timeout of its own.
    knocking = threading.Thread(target=knock, daemon=True)
    knocking.start()
    knocking.join(SECONDS_TO_ANSWER)
    return has_answered.is_set()


def _is_in_netrc() -> bool:
    try:
        hosts = netrc.netrc().hosts
    except (OSError, netrc.NetrcParseError):
        return False
    # The package, slow to import, is asked for its server only where there is something to find.
    return bool(hosts) and urlsplit(_server()).hostname in hosts
