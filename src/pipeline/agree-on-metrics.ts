import type { Ranks } from "../ranks/ranks.js";
import type { Metrics } from "./events.js";

/**
 * One step's metrics, the same on every rank: what is counted over the whole batch is so already, times are rank 0's, memory
 * is that of the rank with most.
 * @param waited_before `ranks.waitedSeconds()` when the step began
 */
export async function agreeOnMetrics(ranks: Ranks, metrics: Metrics, waited_before: number): Promise<Metrics> {
  const { reduce_seconds = 0, ...rest } = metrics;
  if (ranks.world_size === 1) return rest;
  const waited = ranks.waitedSeconds() - waited_before + reduce_seconds;
  const all = await ranks.agree({ value: { metrics, idle: waited / metrics["step_seconds"]! } });
  const most = (name: string): number => Math.max(...all.map((one) => one.metrics[name] ?? 0));
  return {
    ...all[0]!.metrics,
    ranks_idle_share: all.reduce((sum, { idle }) => sum + idle, 0) / all.length,
    rss_bytes: most("rss_bytes"),
    peak_rss_bytes: most("peak_rss_bytes"),
    ...(metrics["peak_device_bytes"] !== undefined && { peak_device_bytes: most("peak_device_bytes") }),
  };
}
