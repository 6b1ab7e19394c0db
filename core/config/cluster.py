"""Where the units of a preparation are worked on, when it is not this machine alone."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.config.section import Section


class _Tasks(Section):
    tasks: int = Field(default=100, ge=1, le=100_000)
    """Into how many tasks the units of a pass are dealt; no more than there are units."""
    workers: int | None = Field(default=None, ge=1, le=100_000)
    """At most so many tasks at once. Empty: all."""
    cores_per_task: int = Field(default=1, ge=1, le=1024)
    """Cores of one task; more than one only to get their memory."""
    gigabytes_per_core: int = Field(default=4, ge=1, le=4096)
    """Memory of one core."""


class LocalTasks(Section):
    """The engine on this machine: to try what a cluster would do."""

    kind: Literal["local"]
    tasks: int = Field(default=2, ge=1, le=100_000)
    """Into how many tasks the units of a pass are dealt; no more than there are units."""
    workers: int | None = Field(default=None, ge=1, le=1024)
    """At most so many tasks at once. Empty: all."""


class SlurmTasks(_Tasks):
    """An array job of Slurm. Start it where sbatch is, and not inside another job."""

    kind: Literal["slurm"]
    partition: str = Field(pattern=r"^[\w.,+-]{1,200}$")
    """The partition that the tasks run in."""
    time: str = Field(default="24:00:00", pattern=r"^[0-9:-]{1,40}$")
    """Longest time of a task, as sbatch reads it."""
    qos: str | None = Field(default=None, pattern=r"^[\w.,+-]{1,200}$")
    """Quality of service. Empty: what the cluster gives."""
    setup: str = Field(default="", max_length=4096)
    """Shell command that makes Footplate's Python the first on the path of a node. Empty: that of this process."""
    array_size: int = Field(default=1001, ge=1, le=1_000_000)
    """The cluster's MaxArraySize; more tasks than that become several array jobs."""


class RayTasks(_Tasks):
    """Tasks of a Ray cluster. Ray itself must be installed here and on the nodes, in the same version."""

    kind: Literal["ray"]


Cluster = Annotated[LocalTasks | SlurmTasks | RayTasks, Field(discriminator="kind")]
