"""`containerd-bridge serve`: its options, and what the help says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from bridge.cli.connection import (
    NatsCreds,
    NatsDomain,
    NatsInbox,
    NatsNkey,
    NatsPassword,
    NatsTlsCa,
    NatsTlsCert,
    NatsTlsFirst,
    NatsTlsKey,
    NatsToken,
    NatsUser,
)
from bridge.cli.page import PageHosts, PageToken, PageTokenFile
from bridge.cli.running import run
from bridge.config import Config

__all__ = ["serve"]

_DEFAULT: Final = Config()


def serve(
    *,
    containerd: Annotated[
        Path | None,
        typer.Option(readable=False, metavar="SOCKET", help=f"containerd's gRPC socket ({_DEFAULT.containerd})."),
    ] = None,
    namespace: Annotated[
        list[str] | None, typer.Option(metavar="NS", help="Follow only this namespace (repeatable); all unless given.")
    ] = None,
    nats: Annotated[
        str | None,
        typer.Option(
            metavar="URL|embedded", help=f"NATS to use, or a nats-server of the bridge's own ({_DEFAULT.nats.url})."
        ),
    ] = None,
    node: Annotated[str | None, typer.Option(metavar="NAME", help="This node's name; the host's unless given.")] = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(
            readable=False, metavar="DIR", help=f"Where outbox and embedded server live ({_DEFAULT.state_dir})."
        ),
    ] = None,
    fifo_dir: Annotated[
        Path | None,
        typer.Option(readable=False, metavar="DIR", help=f"Where stdio's FIFOs are ({_DEFAULT.fifo_dir})."),
    ] = None,
    checkpoint_dir: Annotated[
        Path | None,
        typer.Option(readable=False, metavar="DIR", help=f"Where dumps lie meanwhile ({_DEFAULT.checkpoint_dir})."),
    ] = None,
    commands: Annotated[
        str | None,
        typer.Option(
            metavar="GROUPS",
            help="Commands to take: observe, lifecycle, exec, create, checkpoint, all; none unless given.",
        ),
    ] = None,
    bundle_root: Annotated[
        Path | None,
        typer.Option(readable=False, metavar="DIR", help="Where bundles of other clients go with their containers."),
    ] = None,
    docker: Annotated[
        str | None,
        typer.Option(metavar="SOCKET", help="unix:///var/run/docker.sock: names and health of Docker's containers."),
    ] = None,
    foreign: Annotated[
        bool | None, typer.Option("--foreign", help="Let commands change containers of dockerd and the kubelet too.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(readable=False, metavar="FILE", help="Rules for commands, as TOML (none).")
    ] = None,
    request_info: Annotated[
        bool | None,
        typer.Option("--request-info", help="Believe NATS about who asks; every command must come by a shared import."),
    ] = None,
    record: Annotated[
        str | None,
        typer.Option(metavar="DETAIL", help=f"What is recorded of options: redacted or full ({_DEFAULT.record})."),
    ] = None,
    show: Annotated[
        str | None,
        typer.Option(
            metavar="DETAIL",
            help=f"What `inspect` tells of arguments and environment: redacted or full ({_DEFAULT.show}).",
        ),
    ] = None,
    record_observing: Annotated[
        bool | None, typer.Option("--record-observing", help="Record commands that only look, too.")
    ] = None,
    traces: Annotated[
        bool | None, typer.Option("--traces", help="Send spans of commands to OpenTelemetry (OTEL_* variables).")
    ] = None,
    http: Annotated[
        str | None, typer.Option(metavar="ADDR", help="HOST:PORT for health and metrics; not served unless given.")
    ] = None,
    page: Annotated[
        bool | None, typer.Option("--page", help="Serve the page there too, to whoever has its token.")
    ] = None,
    page_token: PageToken = None,
    page_token_file: PageTokenFile = None,
    page_host: PageHosts = None,
    root: Annotated[
        str | None, typer.Option(metavar="TOKEN", help=f"First token of every subject ({_DEFAULT.root}).")
    ] = None,
    lease: Annotated[
        int | None,
        typer.Option(
            metavar="SECONDS", help=f"After so much silence another may take the node over ({_DEFAULT.lease})."
        ),
    ] = None,
    nats_user: NatsUser = None,
    nats_password: NatsPassword = None,
    nats_token: NatsToken = None,
    nats_nkey: NatsNkey = None,
    nats_creds: NatsCreds = None,
    nats_tls_ca: NatsTlsCa = None,
    nats_tls_cert: NatsTlsCert = None,
    nats_tls_key: NatsTlsKey = None,
    nats_tls_first: NatsTlsFirst = None,
    nats_inbox: NatsInbox = None,
    nats_domain: NatsDomain = None,
    nats_replicas: Annotated[
        int | None, typer.Option(metavar="N", help=f"Replicas of a stream that is made ({_DEFAULT.nats.replicas}).")
    ] = None,
    events_max_age_s: Annotated[
        int | None,
        typer.Option(metavar="S", help=f"How long a stream that is made keeps events ({_DEFAULT.events_max_age_s})."),
    ] = None,
    events_max_bytes: Annotated[
        str | None, typer.Option(metavar="N", help="Size of a stream that is made (no limit).")
    ] = None,
    stdio_max_age_s: Annotated[
        int | None,
        typer.Option(metavar="S", help=f"How long it keeps what processes write ({_DEFAULT.stdio_max_age_s})."),
    ] = None,
    stdio_max_bytes: Annotated[
        str | None, typer.Option(metavar="N", help="Size of the stream of that, when it is made (1GiB).")
    ] = None,
    checkpoints_max_bytes: Annotated[
        str | None, typer.Option(metavar="N", help="Size of the store of checkpoints, when it is made (no limit).")
    ] = None,
    checkpoints_quota: Annotated[
        str | None, typer.Option(metavar="N", help="Bytes that this node may have in it (16GiB).")
    ] = None,
    checkpoints_max_age_s: Annotated[
        int | None, typer.Option(metavar="S", help="How long a checkpoint is kept (for ever).")
    ] = None,
    checkpoints_keep: Annotated[
        int | None, typer.Option(metavar="N", help="How many checkpoints of a container are kept (all).")
    ] = None,
    checkpoint_key: Annotated[
        Path | None,
        typer.Option(
            readable=False, metavar="FILE", help="Key that checkpoints are encrypted with; none unless given."
        ),
    ] = None,
    outbox_max_bytes: Annotated[
        str | None, typer.Option(metavar="N", help="Bytes that may wait on disk for NATS (1GiB).")
    ] = None,
    outbox_reserve_bytes: Annotated[
        str | None, typer.Option(metavar="N", help="Bytes that the outbox leaves free on its disk (128MiB).")
    ] = None,
    outbox_retention_s: Annotated[
        int | None,
        typer.Option(
            metavar="S",
            help=f"How long events are kept once NATS has them ({_DEFAULT.outbox_retention_s}).",
        ),
    ] = None,
    audit_s: Annotated[
        int | None,
        typer.Option(metavar="S", help=f"How often log and states are compared with what is ({_DEFAULT.audit_s})."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(readable=False, metavar="FILE", help="TOML file with settings.")
    ] = None,
    take_over: Annotated[
        bool | None,
        typer.Option("--take-over", help="Have the bridge in this state directory stop, and miss no event in between."),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(metavar="LEVEL", help=f"debug, info, warning or error ({_DEFAULT.log_level}).")
    ] = None,
    log_format: Annotated[
        str | None,
        typer.Option(metavar="FORM", help="text, json or journal; text on a terminal and JSON elsewhere unless given."),
    ] = None,
) -> None:
    """Follow containerd and keep its events in JetStream; take commands where switched on.

    Every option is also an environment variable (CONTAINERD_BRIDGE_STATE_DIR, ...) and a key of the TOML file.
    """
    options: dict[str, Any] = {
        "containerd": containerd,
        "namespace": namespace or None,
        "nats.url": nats,
        "node": node,
        "state_dir": state_dir,
        "fifo_dir": fifo_dir,
        "checkpoint_dir": checkpoint_dir,
        "bundle_root": bundle_root,
        "docker": docker,
        "commands": commands,
        "foreign": foreign,
        "policy": policy,
        "request_info": request_info,
        "record": record,
        "show": show,
        "record_observing": record_observing,
        "traces": traces,
        "http": http,
        "page": page,
        "page_token": page_token,
        "page_token_file": page_token_file,
        "page_host": page_host or None,
        "root": root,
        "lease": lease,
        "take_over": take_over,
        "log_level": log_level,
        "log_format": log_format,
        "events_max_age_s": events_max_age_s,
        "events_max_bytes": events_max_bytes,
        "stdio_max_age_s": stdio_max_age_s,
        "stdio_max_bytes": stdio_max_bytes,
        "checkpoints_max_bytes": checkpoints_max_bytes,
        "checkpoints_quota": checkpoints_quota,
        "checkpoints_max_age_s": checkpoints_max_age_s,
        "checkpoints_keep": checkpoints_keep,
        "checkpoint_key": checkpoint_key,
        "outbox_max_bytes": outbox_max_bytes,
        "outbox_reserve_bytes": outbox_reserve_bytes,
        "outbox_retention_s": outbox_retention_s,
        "audit_s": audit_s,
        "nats.user": nats_user,
        "nats.password": nats_password,
        "nats.token": nats_token,
        "nats.nkey": nats_nkey,
        "nats.creds": nats_creds,
        "nats.tls_ca": nats_tls_ca,
        "nats.tls_cert": nats_tls_cert,
        "nats.tls_key": nats_tls_key,
        "nats.tls_first": nats_tls_first,
        "nats.inbox": nats_inbox,
        "nats.domain": nats_domain,
        "nats.replicas": nats_replicas,
    }
    run(options, config)
