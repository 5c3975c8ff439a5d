import { UserError } from "../errors.js";
import { loadAddon } from "./addon.js";

/** Where an engine keeps its weights and computes; auto: on an NVIDIA device where this build can use one. */
export type DeviceChoice = "auto" | "cpu" | "cuda";

/** What a choice comes to in this process. */
export const resolvedDevice = (choice: DeviceChoice, devices = loadAddon().cudaDevices()): "cpu" | "cuda" =>
  choice === "cpu" || (choice === "auto" && devices === 0) ? "cpu" : "cuda";

/**
 * The device as the addon names it, such as `cuda:1`: each process of a machine takes the one of its LOCAL_RANK (srun:
 * SLURM_LOCALID), or the only one it sees.
 * @throws UserError DEVICE_UNAVAILABLE
 */
export function deviceName(
  choice: DeviceChoice,
  env: Readonly<Record<string, string | undefined>> = process.env,
  devices = loadAddon().cudaDevices(),
): string {
  if (resolvedDevice(choice, devices) === "cpu") return "cpu";
  if (devices === 0)
    throw new UserError(
      "DEVICE_UNAVAILABLE",
      "device is cuda, but this build can use no NVIDIA device here",
      "`sightloop doctor` says why: no driver, no device, or an addon built for the CPU (`npm run build -- --cuda`). Or set device: cpu.",
    );
  const local_rank = Number(env["LOCAL_RANK"] ?? env["SLURM_LOCALID"] ?? 0);
  const restricted = env["CUDA_VISIBLE_DEVICES"] !== undefined && devices === 1;
  const index = restricted ? 0 : local_rank;
  if (index >= devices)
    throw new UserError(
      "DEVICE_UNAVAILABLE",
      `process ${local_rank} of this machine (from 0) has no device: there are ${devices}`,
      `Start at most ${devices} processes on this machine (--nproc ${devices}), or set device: cpu.`,
    );
  return `cuda:${index}`;
}

/**
 * The same for an engine: `batch_invariant` is made for the CPU, and where everything is in host memory nothing can be
 * offloaded to it.
 * @throws UserError DEVICE_UNAVAILABLE; CONFIG_INVALID for offloading on the CPU
 */
export function engineDevice(
  { device = "cpu", deterministic, offloads }: EngineDeviceOptions,
  devices = loadAddon().cudaDevices(),
): string {
  const choice = device === "auto" && deterministic === "batch_invariant" ? "cpu" : device;
  const name = deviceName(choice, process.env, devices);
  if (name === "cpu" && offloads)
    throw new UserError(
      "CONFIG_INVALID",
      "optimizer.offload and reference.offload have no meaning on the CPU, where everything is in host memory",
      choice === "cpu"
        ? "Leave them out."
        : "Leave them out, or run where there is an NVIDIA device that this build can use: `sightloop doctor`.",
    );
  return name;
}

interface EngineDeviceOptions {
  readonly device?: DeviceChoice | undefined;
  readonly deterministic: "run" | "batch_invariant";
  readonly offloads: boolean;
}
