import { existsSync } from "node:fs";
import { loadAddon } from "../engine/addon.js";
import type { Finding } from "./doctor.js";

/** Which devices there are to compute on. Not for an addon that does not load: that is found elsewhere. */
export function checkDevice(
  devices: number = loadAddon().cudaDevices(),
  has_driver = existsSync("/proc/driver/nvidia/version"),
): Finding {
  const name = "device";
  if (devices > 0)
    return { name, status: "ok", detail: `${devices} NVIDIA device${devices === 1 ? "" : "s"}, and the CPU` };
  if (!has_driver) return { name, status: "ok", detail: "the CPU; no NVIDIA driver" };
  return {
    name,
    status: "warning",
    detail: "the CPU, although an NVIDIA driver is here",
    fix: "The addon was built for the CPU, or the driver is too old for its CUDA: run `npm run build -- --cuda`, which says what is missing.",
  };
}
