"""The faults of an experiment, a file per family: what is broken, and with `Targeted`, where.

A kind has two classes: what is broken (as waves need it, which say themselves where), and the step.
"""

from __future__ import annotations

from typing import TypeAlias

from blackstart_controller.spec.faults.disk import FullDisk, FullDiskStep
from blackstart_controller.spec.faults.host import Blackout, HostBlackout, SiteBlackout
from blackstart_controller.spec.faults.network import (
    Bandwidth,
    BandwidthStep,
    Blackhole,
    BlackholeStep,
    Corrupt,
    CorruptStep,
    Cut,
    Delay,
    DelayStep,
    Dns,
    DnsStep,
    Duplicate,
    DuplicateStep,
    Loss,
    LossStep,
    Partition,
    Reorder,
    ReorderStep,
    Reset,
    ResetStep,
)
from blackstart_controller.spec.faults.process import (
    Freeze,
    Kill,
    KillProcess,
    PauseProcess,
    Restarted,
    RestartProcess,
)
from blackstart_controller.spec.faults.resources import (
    BusyCpu,
    BusyCpuStep,
    BusyDisk,
    BusyDiskStep,
    TakenMemory,
    TakenMemoryStep,
)
from blackstart_controller.spec.faults.unit import (
    CrashLooping,
    CrashUnits,
    Down,
    RestartUnits,
    StartedAnew,
    StopUnits,
)

FaultStep: TypeAlias = (
    SiteBlackout
    | HostBlackout
    | Partition
    | BlackholeStep
    | ResetStep
    | LossStep
    | DelayStep
    | ReorderStep
    | CorruptStep
    | DuplicateStep
    | BandwidthStep
    | DnsStep
    | KillProcess
    | PauseProcess
    | RestartProcess
    | StopUnits
    | RestartUnits
    | CrashUnits
    | BusyCpuStep
    | TakenMemoryStep
    | BusyDiskStep
    | FullDiskStep
)
OnHosts: TypeAlias = (
    Blackout
    | Cut
    | Blackhole
    | Reset
    | Loss
    | Delay
    | Reorder
    | Corrupt
    | Duplicate
    | Bandwidth
    | Dns
    | Kill
    | Freeze
    | Restarted
    | Down
    | StartedAnew
    | CrashLooping
    | BusyCpu
    | TakenMemory
    | BusyDisk
    | FullDisk
)
Breakage: TypeAlias = SiteBlackout | OnHosts
