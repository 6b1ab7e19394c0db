"""What the machine under the console does: GPUs, CPU, memory, disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import psutil


@dataclass(frozen=True)
class GpuReading:
    """One GPU; memory in bytes, power in watts, temperature in degrees Celsius, None where it does not say."""

    name: str
    utilization: float | None = None
    memory_used: int | None = None
    memory_total: int | None = None
    power: float | None = None
    temperature: float | None = None


@dataclass(frozen=True)
class MachineReading:
    """The machine at one moment; utilization in percent, sizes in bytes."""

    cpu: float
    cores: int
    memory_used: int
    memory_total: int
    disk_free: int
    disk_total: int
    gpus: tuple[GpuReading, ...] = ()
    run_memory: int | None = None
    gpu_words: str = ""


@dataclass
class Machine:
    """Reads the machine; the disk is the one that holds `path`. GPUs through NVML where its driver is there."""

    path: Path
    _handles: list[object] | None = field(default=None, init=False)
    _gpu_words: str = field(default="", init=False)

    def read(self) -> MachineReading:
        """Return what the machine does now; the first CPU figure is since the machine started."""
        memory = psutil.virtual_memory()
        existing = next((place for place in (self.path, *self.path.parents) if place.exists()), Path("/"))
        disk = psutil.disk_usage(str(existing))
        return MachineReading(
            cpu=psutil.cpu_percent(),
            cores=psutil.cpu_count() or 1,
            memory_used=memory.total - memory.available,
            memory_total=memory.total,
            disk_free=disk.free,
            disk_total=disk.total,
            gpus=self._gpus(),
            gpu_words=self._gpu_words,
        )

    def _gpus(self) -> tuple[GpuReading, ...]:
        import pynvml

        if self._handles is None:
            try:
                pynvml.nvmlInit()
                self._handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
            except pynvml.NVMLError as error:
                self._handles = []
                self._gpu_words = str(error)
        return tuple(_read_gpu(pynvml, handle) for handle in self._handles)


def _read_gpu(pynvml: object, handle: object) -> GpuReading:
    def ask(name: str, *arguments: object) -> object:
        function, error = vars(pynvml)[name], vars(pynvml)["NVMLError"]
        try:
            return function(handle, *arguments)
        except error:  # a card that does not tell this; the rest still counts
            return None

    name, memory = ask("nvmlDeviceGetName"), ask("nvmlDeviceGetMemoryInfo")
    use, power = ask("nvmlDeviceGetUtilizationRates"), ask("nvmlDeviceGetPowerUsage")
    heat = ask("nvmlDeviceGetTemperature", 0)
    return GpuReading(
        name=name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name or "GPU"),
        utilization=None if use is None else float(use.gpu),  # type: ignore[attr-defined]
        memory_used=None if memory is None else int(memory.used),  # type: ignore[attr-defined]
        memory_total=None if memory is None else int(memory.total),  # type: ignore[attr-defined]
        power=None if not isinstance(power, int) else power / 1000,
        temperature=None if not isinstance(heat, int) else float(heat),
    )
