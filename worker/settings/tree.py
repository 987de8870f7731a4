"""The tree of settings: every name, type, default and meaning, declared once.

A setting ``a.b_c`` is the flag ``--a.b-c``, the environment variable ``FRAMEWATCH_A_B_C`` and the key ``b_c`` in the
TOML table ``[a]``. The string under each field is its help text; the README's table is made from it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

MIB = 1024 * 1024

# The ranges are wide: they catch slips (a wrong unit, a sign, a zero too many), they are no advice.
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
CountOrZero = Annotated[int, Meta(ge=0, le=1_000_000)]
Size = Annotated[int, Meta(ge=1024, le=1024**4)]
Pixels = Annotated[int, Meta(ge=256, le=2**31 - 1)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
SecondsOrZero = Annotated[float, Meta(ge=0, le=86_400)]
Hours = Annotated[float, Meta(gt=0, le=87_600)]
Share = Annotated[float, Meta(gt=0, le=1)]
Bits = Annotated[int, Meta(ge=0, le=31)]
Port = Annotated[int, Meta(ge=0, le=65_535)]
Name = Annotated[str, Meta(min_length=1)]
TopicName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,249}\Z")]
OptionalTopicName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{0,249}\Z")]
BatchSize = Annotated[int, Meta(ge=1, le=256)]
MillisecondsOrZero = Annotated[float, Meta(ge=0, le=10_000)]
Provider = Literal["cpu", "openvino", "cuda"]
Precision = Literal["f32", "bf16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kafka:
    """The link to the broker."""

    bootstrap_servers: Name = "localhost:9092"
    """Brokers to start from, host:port, separated by commas."""
    group_id: Name = "framewatch"
    """Consumer group; also the stem of the transactional ids. One deployment, one group."""
    instance_id: str = ""
    """Static member id, stable over restarts (a pod's name), unique in the group. Empty: a dynamic member."""
    guarantee: Literal["exactly_once", "at_least_once"] = "exactly_once"
    """exactly_once: a segment's results and its offset in one transaction. at_least_once: for brokers without them."""
    session_timeout_s: Seconds = 45.0
    """After how long without a heartbeat the group takes a member for dead."""
    rebalance_timeout_s: Seconds = 60.0
    """How long a rebalance waits for members; draining stays below it."""
    send_deadline_s: Seconds = 30.0
    """How long a release may take before its outcome counts as unknown and the partition is taken again."""
    max_message_bytes: Size = 8 * MIB
    """Largest record read or written."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """SSL: encrypted, with cert_file also authenticated (mTLS). SASL_SSL: encrypted, with a login."""
    ca_file: str = ""
    """PEM file of the authorities that sign the brokers' certificates. Empty: the system's."""
    cert_file: str = ""
    """PEM file of this client's certificate and its chain, for mTLS."""
    key_file: str = ""
    """PEM file of the certificate's key. Empty: it stands in cert_file."""
    key_password_file: str = ""
    """File with the password of an encrypted key."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = "SCRAM-SHA-512"
    """How SASL logs in."""
    username: str = ""
    """Who logs in with PLAIN or SCRAM."""
    password_file: str = ""
    """File with that user's password; a rotated one is read for each new connection."""
    token_provider: Name = "file"  # noqa: S105 - a provider's name, no secret
    """Where OAUTHBEARER's tokens come from: file, msk (AWS IAM), or an entry point of framewatch.token_providers."""
    token_file: str = ""
    """File that somebody else keeps a fresh token in, for token_provider = file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """Names of the topics. An empty name turns an optional topic off."""

    segments: TopicName = "segments"
    """In: the platform's segments, keyed by stream id."""
    escalations: TopicName = "escalations"
    """Out: incidents for people to review."""
    dead_letters: TopicName = "dead-letters"
    """Out: events that can't be worked, each with its reason."""
    risk: TopicName = "risk"
    """Private, compacted: the streams' state; as many partitions as segments."""
    assessments: OptionalTopicName = ""
    """Out, optional: one record per consumed segment, whatever became of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long topics may keep records: topics create sets it, check fails above it (docs/privacy.md)."""

    segments_h: Hours = 24.0
    """Hours. Bodies in messages are imagery on the brokers' disks: no longer than your longest outage."""
    escalations_h: Hours = 720.0
    """Hours. Until reviewers' tools have surely read them."""
    dead_letters_h: Hours = 336.0
    """Hours. Until somebody has looked."""
    assessments_h: Hours = 2160.0
    """Hours. As long as somebody may ask why something was not caught."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """How much is in work at once, and how often results leave."""

    max_segments: Count = 256
    """Segments in work or waiting in this process; above it, partitions are paused."""
    max_bytes: Size = 512 * MIB
    """Bytes of bodies in work or waiting in this process; above it, partitions are paused."""
    window: Count = 2000
    """How far a partition may be consumed ahead of its first unfinished segment."""
    resume_below: Share = 0.5
    """Paused partitions go on when both fall below this share of their limit."""
    release_interval_s: Seconds = 0.5
    """How often finished results leave when there is no incident; an incident leaves at once."""
    drain_s: Seconds = 15.0
    """How long a revoked partition may finish what is in work before it abandons it."""
    on_rewind: Literal["stop", "reprocess", "keep"] = "stop"
    """Where state, committed offset and log disagree: stop the partition, forget the streams' state, or keep it."""
    max_attempts: Count = 3
    """After so many deaths of a worker with one segment alone in work, that segment is a dead letter."""
    breaker: Literal["stop", "off"] = "stop"
    """stop: no more intake when most streams that were healthy turn bad at once, as after a bad deploy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """What is remembered of streams: docs/memory.md has the formula."""

    max: Count = 20_000
    """Streams remembered of one partition; above it, the lowest risk without an open incident is forgotten."""
    idle_s: Seconds = 1800.0
    """After so long without a record a stream is forgotten and its open incident closed; one that comes back is new."""
    unreviewed_s: Seconds = 86_400.0
    """A silent stream's critical incident stays open for so long; then it is closed like the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A place that claim checks may point below."""

    uri: str
    """s3://bucket/prefix/, gs://…, az://…, https://host/prefix/ or file:///folder/; ends in a slash."""
    endpoint: str | None = None
    """Another address of the store's API, for S3-compatible stores."""
    region: str | None = None
    """The store's region."""
    private: bool = False
    """Private addresses are allowed for this root's host."""
    plaintext: bool = False
    """http:// is allowed for this root's host."""
    header_file: str | None = None
    """File with one header line, name: value, sent to this root's host."""
    credentials_file: str | None = None
    """TOML file with the store's credentials for this root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """Claim checks: where the bytes may come from."""

    roots: tuple[Root | str, ...] = ()
    """URIs ending in a slash, or tables {uri, endpoint, region, private, plaintext, header_file, credentials_file}."""
    max_bytes: Size = 64 * MIB
    """Largest object fetched."""
    in_work_bytes: Size = 512 * MIB
    """Bytes of fetched objects in work in this process; each host or bucket of the roots has an equal share."""
    timeout_s: Seconds = 10.0
    """How long one try of one object may take."""
    attempts: Count = 3
    """Tries of an object before its partition waits for a store that is away; rounds of them if only it fails."""
    visible_within_s: SecondsOrZero = 5.0
    """How long an object that is not there is looked for before it is a dead letter."""
    idle_s: Seconds = 5.0
    """https: how long a server may take to connect, or be silent."""
    min_bytes_per_s: CountOrZero = 16_384
    """https: the least a server may give on average, once idle_s have passed. 0: any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Which keyframes are looked at."""

    interval_s: SecondsOrZero = 2.0
    """The first keyframe of each segment, and those so many seconds after the last one taken. 0: every keyframe."""
    max_keyframes: Count = 64
    """Most keyframes taken from one segment."""
    loop_filter: bool = True
    """false: H.264 and HEVC without deblocking; less CPU, hashes and scores a little off (docs/performance.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """What is left out when more comes than can be looked at. By default nothing: it waits, however late it gets."""

    lateness_s: SecondsOrZero = 0.0
    """A segment older than this when its turn comes is shed; once behind for as long, one older than 2 s. 0: none."""
    first_keyframe_s: SecondsOrZero = 0.0
    """Of one older than this only the first keyframe is looked at; once behind for lateness_s, of all. 0: of none."""
    one_in: Count = 8
    """However late: of so many segments of a stream in a row at least one is looked at. 1: each is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jail:
    """The decoder processes."""

    processes: CountOrZero = 0
    """How many. 0: one for each core this process may use."""
    deadline_s: Seconds = 10.0
    """How long one segment may take before its decoder is killed."""
    max_pixels: Pixels = 8192 * 4352
    """Largest picture decoded, width times height."""
    max_streams: Count = 32
    """Most streams in one container."""
    memory_bytes: Size = 1536 * MIB
    """Memory that one decoder may take beyond what it starts with; a segment that needs more is out_of_memory."""
    require: Literal["full", "partial", "none"] = "full" if sys.platform == "linux" else "none"
    """Least lock-down of the decoders, found by trying to escape, below which a worker does not start. macOS: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """Known material."""

    lists: tuple[str, ...] = ()
    """Hash lists: folders with a list.toml, or single files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """The classifier."""

    model: str = ""
    """The model folder. Empty: no classifier, only hash lists."""
    threads: CountOrZero = 0
    """Threads that run the model, each with a single-threaded session. 0: one for each core."""
    deadline_s: Seconds = 10.0
    """How long the model may take for one picture; a segment that takes longer is model_failed."""
    load_deadline_s: Seconds = 120.0
    """How long loading the model and running its examples may take, in a process of their own."""
    memory_bytes: Size = 4096 * MIB
    """Memory that the model may take: its weights and all runs of one worker together."""
    provider: Provider = "cpu"
    """What runs the model; openvino and cuda need another onnxruntime. One that fails its examples gives way to cpu."""
    precision: Precision = "f32"
    """What openvino computes in. bf16: about twice as fast where the CPU has it, less exact; the examples decide."""
    batch: BatchSize = 1
    """Most pictures, of any streams, in one run of the model. 1: each by itself; a CPU gains nothing by more."""
    batch_wait_ms: MillisecondsOrZero = 5.0
    """How long a picture may wait for others to fill its run, where batch is above 1."""
    near_duplicate_bits: Bits = 0
    """A frame whose PDQ is within so many bits of its stream's last scored one takes over its scores. 0: score all."""
    rescore_s: Seconds = 10.0
    """With near_duplicate_bits: no scores serve longer, by the stream's own clock; most are drawn to serve shorter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFile:
    """What is escalated, and how urgently."""

    file: str = ""
    """The policy's TOML file. Empty: the default policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """What an incident carries."""

    source: Name = "framewatch"
    """ce_source of everything this deployment writes; the same for all its workers."""
    preserve_before_s: SecondsOrZero = 120.0
    """How much before the opening an incident asks the platform to preserve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTemplates:
    """Templates over {stream_id}, {account}, {tenant}, {sequence}, {media_time_s}, {wall_time}, {incident_id}."""

    watch: str = ""
    """Where a reviewer watches the stream live."""
    clip: str = ""
    """Where a reviewer sees the moment of the incident."""
    account: str = ""
    """Where a reviewer sees the account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetters:
    """What a dead letter carries."""

    payload: bool = False
    """Send the segment's body along. It is imagery: keep it off unless the topic is guarded as such."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shutdown:
    """How the worker ends."""

    grace_s: Seconds = 25.0
    """After SIGTERM: drained, committed and gone within this time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """/livez, /readyz, /metrics and the console (docs/console.md)."""

    host: Name = "127.0.0.1"
    """Address to listen on."""
    port: Port = 8080
    """Port to listen on. 0: any free one."""
    console: bool = True
    """The console on /. Where others reach web.host it needs token_file or proxy_header as well."""
    token_file: str = ""
    """File with the token that opens the console, at least 16 characters; a rotated one holds at once."""
    proxy_header: str = ""
    """Header by which a proxy in front says who is there; who comes from proxy_networks with it sees the console."""
    proxy_networks: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    """Networks of that proxy; from elsewhere the header counts for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Logs go to standard error, a line an event."""

    format: Literal["auto", "json", "console"] = "auto"
    """auto: readable on a terminal, JSON elsewhere."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least level written."""
    lines_per_s: Count = 50
    """Most lines a second, beside those of incidents; a line says how many were kept back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """Traces of sampled segments go to an OpenTelemetry collector; needs the extra otel."""

    otlp_endpoint: str = ""
    """Where spans go: an OTLP/HTTP collector, such as http://collector:4318/v1/traces. Empty: nowhere."""
    otlp_headers_file: str = ""
    """File with headers for it, a line each, name: value; such as a token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set."""

    kafka: Kafka = field(default_factory=Kafka)
    topics: Topics = field(default_factory=Topics)
    retention: Retention = field(default_factory=Retention)
    intake: Intake = field(default_factory=Intake)
    streams: Streams = field(default_factory=Streams)
    fetch: Fetch = field(default_factory=Fetch)
    sampling: Sampling = field(default_factory=Sampling)
    overload: Overload = field(default_factory=Overload)
    jail: Jail = field(default_factory=Jail)
    matching: Matching = field(default_factory=Matching)
    scoring: Scoring = field(default_factory=Scoring)
    policy: PolicyFile = field(default_factory=PolicyFile)
    escalation: Escalation = field(default_factory=Escalation)
    links: LinkTemplates = field(default_factory=LinkTemplates)
    dead_letters: DeadLetters = field(default_factory=DeadLetters)
    shutdown: Shutdown = field(default_factory=Shutdown)
    web: Web = field(default_factory=Web)
    log: Log = field(default_factory=Log)
    telemetry: Telemetry = field(default_factory=Telemetry)
