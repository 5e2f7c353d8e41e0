"""The stack's configuration, validated once into named, plain values.

Defaults live in Pulumi.yaml alone; every key must therefore be present in what is parsed here.
"""

import difflib
import json
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import IPv4Network
from itertools import combinations
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from host.domain.pooler import ROLE as POOLER
from host.monitoring.configuration import Delivery, Smtp
from settings import capacity, forecast, schedule
from settings.addresses import AddressPlan, plan_addresses
from settings.alerting import (
    ADDRESS_OR_NONE,
    HOST_OR_NONE,
    Receiver,
    check_mail,
    check_url,
    private_receivers,
    undelivered,
)
from settings.capacity import Demand
from settings.forecast import Pair
from settings.images import IMAGES, Image
from settings.parameters import Parameter, check_overrides, chosen, derive, pool_size
from settings.retention import RecoveryWindow
from settings.rotations import Rotations
from settings.vm_sizes import VM_SIZES, VmSize

NAMESPACE = "postgres-barman"
# Never quoted: they are, or hold, keys.
SECRET_KEYS = frozenset({"smtpPassword", "alertWebhook", "deadManUrl"})

# 63 bytes is PostgreSQL's NAMEDATALEN - 1. Names that never need quoting cannot be misquoted.
_IDENTIFIER = r"^[a-z_][a-z0-9_]{0,62}$"
_EXTENSION = r"^[a-z][a-z0-9_-]{0,62}$"
_RESERVED_DATABASES = frozenset({"postgres", "template0", "template1"})
_RESERVED_ROLES = frozenset(
    {"postgres", "barman", "streaming_barman", "prometheus", "public", "none"}
)


class SettingsError(ValueError):
    """The stack's configuration is refused; the message lists every problem, one a line."""


def _known_size(name: object) -> object:
    if isinstance(name, str) and name in VM_SIZES:
        return VM_SIZES[name]
    raise ValueError(f"unknown VM size; {_did_you_mean(str(name), VM_SIZES)}")


def _known_image(name: object) -> object:
    if isinstance(name, str) and name in IMAGES:
        return IMAGES[name]
    raise ValueError(f"unknown image; {_did_you_mean(str(name), IMAGES)}")


def _network(text: object) -> object:
    try:
        network = IPv4Network(str(text))
    except ValueError as error:
        raise ValueError(f"not an IPv4 network such as 203.0.113.0/24: {error}") from None
    if network.prefixlen == 0:
        raise ValueError(
            "open to the world; name the networks that need access, e.g. 203.0.113.0/24"
        )
    return network


def _private_network(network: IPv4Network) -> IPv4Network:
    if not network.is_private:
        raise ValueError("a virtual network needs a private range, e.g. 10.20.0.0/16")
    return network


def _drill_time(expression: str) -> str:
    schedule.on_calendar(expression)
    return expression


def _availability_zone(name: str) -> str:
    if name not in ("", "1", "2", "3"):
        raise ValueError("no availability zone; 1, 2 and 3 are, or leave it empty")
    return name


def _window(text: object) -> object:
    return RecoveryWindow.parse(str(text))


Size = Annotated[VmSize, BeforeValidator(_known_size)]
Network = Annotated[IPv4Network, BeforeValidator(_network)]


class Database(BaseModel):
    """One database; `owner` is a login role that is created with a generated password."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, Field(pattern=_IDENTIFIER)]
    owner: Annotated[str, Field(pattern=_IDENTIFIER)]
    extensions: tuple[Annotated[str, Field(pattern=_EXTENSION)], ...] = Field(
        default=(), strict=False
    )
    drillQuery: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _not_reserved(self) -> "Database":
        if self.name in _RESERVED_DATABASES:
            raise ValueError(f"database {self.name} belongs to PostgreSQL itself; choose another")
        if self.owner in _RESERVED_ROLES or self.owner.startswith("pg_"):
            raise ValueError(f"role {self.owner} is reserved; choose another owner")
        return self


class Settings(BaseModel):
    """What the operator chose. Sizes are GiB; networks are IPv4; cron is in UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    location: Annotated[str, Field(pattern=r"^[a-z0-9]+$")]
    zone: Annotated[str, AfterValidator(_availability_zone)]
    postgresVmSize: Size
    postgresDiskGb: Annotated[int, Field(strict=True, ge=8, le=32767)]
    barmanVmSize: Size
    barmanDiskGb: Annotated[int, Field(strict=True, ge=8, le=32767)]
    diskSku: Literal["Premium_LRS", "Premium_ZRS", "StandardSSD_LRS", "StandardSSD_ZRS"]
    diskLocks: Annotated[bool, Field(strict=True)]
    encryptionAtHost: Annotated[bool, Field(strict=True)]
    image: Annotated[Image, BeforeValidator(_known_image)]
    vnetCidr: Annotated[Network, AfterValidator(_private_network)]
    sshAccess: Literal["public", "private"]
    adminCidrs: tuple[Network, ...]
    clientCidrs: tuple[Network, ...]
    databases: Annotated[tuple[Database, ...], Field(min_length=1)]
    postgresParameters: dict[str, str | int | float | bool]
    pooler: Annotated[bool, Field(strict=True)]
    durability: Literal["async", "sync", "sync-with-fallback"]
    # Below 5 s every restart of the receiver would count as an absence.
    fallbackAfterSeconds: Annotated[int, Field(strict=True, ge=5, le=3600)]
    backupSchedule: Annotated[str, AfterValidator(schedule.check)]
    drillSchedule: Annotated[str, AfterValidator(schedule.check), AfterValidator(_drill_time)]
    snapshotEveryHours: Annotated[int, Field(strict=True, ge=0, le=168)]
    # Each holds what was overwritten since.
    snapshotsKept: Annotated[int, Field(strict=True, ge=1, le=48)]
    retention: Annotated[RecoveryWindow, BeforeValidator(_window)]
    compression: Literal["none", "gzip", "xz", "zstd", "lz4"]
    expectedDatabaseGb: Annotated[int, Field(strict=True, ge=1)]
    expectedDailyWalGb: Annotated[int, Field(strict=True, ge=0)]
    alertEmail: Annotated[str, Field(pattern=ADDRESS_OR_NONE)]
    smtpHost: Annotated[str, Field(pattern=HOST_OR_NONE)]
    smtpPort: Annotated[int, Field(strict=True, ge=1, le=65535)]
    smtpFrom: Annotated[str, Field(pattern=ADDRESS_OR_NONE)]
    smtpUser: str
    smtpPassword: str
    alertWebhook: Annotated[str, AfterValidator(check_url)]
    deadManUrl: Annotated[str, AfterValidator(check_url)]
    rotations: Rotations

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        plan = plan_addresses(self.vnetCidr)
        own = {"postgres": plan.postgres_subnet, "barman": plan.barman_subnet}
        for key, networks in (("adminCidrs", self.adminCidrs), ("clientCidrs", self.clientCidrs)):
            for one, other in combinations(networks, 2):
                if one.overlaps(other):
                    raise ValueError(
                        f"{key}: {one} and {other} overlap, which Azure refuses in one rule; "
                        "keep the larger"
                    )
            for network in networks:
                for role, subnet in own.items():
                    if network.overlaps(subnet):
                        raise ValueError(
                            f"{key}: {network} overlaps the {role} subnet {subnet}; "
                            "name networks outside it"
                        )
        if not self.adminCidrs:
            raise ValueError(
                "adminCidrs: empty; nobody could reach SSH, not even this program. "
                "Set it with: pulumi config set --path 'adminCidrs[0]' 203.0.113.0/24"
            )
        names = [database.name for database in self.databases]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"databases: {name} is named twice")
        check_overrides(self.postgresParameters)
        check_mail(
            *(self.alertEmail, self.smtpHost, self.smtpFrom, self.smtpUser, self.smtpPassword)
        )
        if self.durability != "async" and "synchronous_commit" in self.postgresParameters:
            raise ValueError(
                f"postgresParameters.synchronous_commit: durability {self.durability} depends on "
                "it; set it per transaction where a commit need not wait, or choose async"
            )
        if self.pooler:
            self._check_pooler()
        capacity.require_room(
            demand=self.demand,
            postgres_disk_gib=self.postgresDiskGb,
            barman_disk_gib=self.barmanDiskGb,
        )
        forecast.require_time(self.demand, self.pair)
        return self

    def _check_pooler(self) -> None:
        for database in self.databases:
            if POOLER in (database.name, database.owner):
                raise ValueError(
                    f"databases: with pooler, the name {POOLER} is PgBouncer's own; choose another"
                )
        _ = self.pool_size

    @property
    def parameters(self) -> dict[str, Parameter]:
        """PostgreSQL's parameters: derived from the machine, with the operator's own."""
        derived = derive(self.postgresVmSize, self.postgresDiskGb)
        return {**derived, **chosen(self.postgresParameters)}

    @property
    def pool_size(self) -> int:
        """How many connections the pooler takes for each database. Raises ValueError where it
        cannot have any."""
        return pool_size(self.parameters, len(self.databases))

    @property
    def addresses(self) -> AddressPlan:
        """Subnets and private addresses that follow from vnetCidr."""
        return plan_addresses(self.vnetCidr)

    @property
    def zones(self) -> list[str] | None:
        """The availability zone as Azure's resources have it; None if Azure chooses."""
        return [self.zone] if self.zone else None

    @property
    def delivery(self) -> Delivery:
        """Who is notified of alerts, and how."""
        smtp = Smtp(
            *(self.smtpHost, self.smtpPort, self.smtpFrom, self.smtpUser, self.smtpPassword)
        )
        return Delivery(
            email=self.alertEmail,
            smtp=smtp if self.alertEmail else None,
            webhook=self.alertWebhook,
            dead_man=self.deadManUrl,
        )

    @property
    def private_receivers(self) -> list[Receiver]:
        """Those notified of alerts at a private address."""
        return private_receivers((self.smtpHost, self.smtpPort), self.alertWebhook, self.deadManUrl)

    @property
    def backup_interval(self) -> timedelta:
        """The longest time between two scheduled backups."""
        return schedule.longest_interval(self.backupSchedule)

    def retirement_warnings(self) -> list[str]:
        """One sentence for each chosen VM size that Azure retires, with its date and successor."""
        return [
            f"{key}: Azure retires {size.name} on {size.retires}; "
            f"plan to move to {size.successor} before then."
            for key, size in self._retiring.items()
        ]

    def availability_warnings(self) -> list[str]:
        """A sentence on chosen VM sizes that a new subscription cannot deploy, if there are any."""
        if not self._retiring:
            return []
        sizes = ", ".join(f"{key} {size.name}" for key, size in self._retiring.items())
        others = " && ".join(
            f"pulumi config set {key} {size.successor}" for key, size in self._retiring.items()
        )
        return [
            f"{sizes}: a new subscription cannot deploy v2 and v3 sizes; if yours cannot, which "
            f"az vm list-skus -l {self.location} --size Standard_D -o table says under "
            f"Restrictions, or az vm list-usage -l {self.location} -o table by a limit of 0, "
            f"type: {others}"
        ]

    @property
    def _retiring(self) -> dict[str, VmSize]:
        """The chosen VM sizes that Azure retires, by their setting."""
        chosen = {"postgresVmSize": self.postgresVmSize, "barmanVmSize": self.barmanVmSize}
        return {key: size for key, size in chosen.items() if size.retires}

    def silence_warnings(self) -> list[str]:
        """Of whom nobody would hear, a sentence each; empty when alerts reach somebody."""
        return undelivered(self.alertEmail, self.alertWebhook, self.deadManUrl)

    def forecast(self) -> list[str]:
        """What the chosen sizes mean in hours and disk tiers, a sentence each."""
        return forecast.sentences(self.demand, self.pair)

    def capacity_warnings(self) -> list[str]:
        """What a Barman machine that is just large enough will not do well, a sentence each."""
        return [
            *capacity.warnings(self.demand, self.barmanDiskGb),
            *forecast.drill_warnings(self.demand, self.pair),
        ]

    @property
    def demand(self) -> Demand:
        """What the Barman machine's disk will be asked to hold."""
        return Demand(
            database_gib=self.expectedDatabaseGb,
            daily_wal_gib=self.expectedDailyWalGb,
            compression=self.compression,
            window=self.retention,
            interval=self.backup_interval,
        )

    @property
    def pair(self) -> Pair:
        """Both machines' sizes and disks."""
        return Pair(
            postgres=self.postgresVmSize,
            barman=self.barmanVmSize,
            postgres_disk_gib=self.postgresDiskGb,
            barman_disk_gib=self.barmanDiskGb,
            sku=self.diskSku,
        )


def parse(config: Mapping[str, str]) -> Settings:
    """Validate the namespace's keys, given without prefix and as Pulumi stores them: strings, JSON
    for everything that is not a string. Raises SettingsError, naming key, value and remedy."""
    problems = [
        f"{key}: unknown key; {_did_you_mean(key, Settings.model_fields)}"
        for key in config
        if key not in Settings.model_fields
    ]
    values = {key: _decode(key, text) for key, text in config.items()}
    try:
        settings = Settings.model_validate(
            {key: value for key, value in values.items() if key in Settings.model_fields}
        )
    except ValidationError as error:
        problems += [_describe(detail) for detail in error.errors()]
    else:
        if not problems:
            return settings
    raise SettingsError("configuration refused, nothing was changed:\n  " + "\n  ".join(problems))


def _decode(key: str, text: str) -> Any:
    field = Settings.model_fields.get(key)
    if field is None or field.annotation is str:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _describe(error: Any) -> str:
    message = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:
        return message
    path = ".".join(str(part) for part in error["loc"])
    if path in SECRET_KEYS:
        return f"{path}: {message}"
    if error["type"] == "missing":
        return f"{path}: not set; give it a value in Pulumi.<stack>.yaml"
    return f"{path} = {json.dumps(error['input'], default=str)}: {message}"


def _did_you_mean(word: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
