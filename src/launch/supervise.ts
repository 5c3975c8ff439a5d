import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:net";
import { createInterface } from "node:readline";

export interface SuperviseOptions {
  /** The program and its arguments, as every rank is started. */
  readonly command: readonly string[];
  /** Processes of this machine, machines, and which of them this is. */
  readonly nproc: number;
  readonly nodes: number;
  readonly node_rank: number;
  /** Where rank 0 listens; port 0: a free one, on one machine only. */
  readonly address: string;
  readonly port: number;
  /** How often the ranks are started anew after one was lost. */
  readonly max_restarts: number;
  /** Added to the arguments when they are. */
  readonly restartArguments: () => Promise<readonly string[]>;
  /** Seconds that the other ranks are given to end by themselves after one has. */
  readonly grace_s: number;
  /** A line of a rank other than this machine's first, and what happens to the ranks. */
  readonly onLine: (line: string) => void;
}

/** Exit codes that starting anew would only repeat: done, a mistake of the user, an interrupt. */
const final_codes = new Set([0, 2, 130]);

/**
 * Starts one process per rank of this machine and waits for them. If one ends badly the others end too: by themselves, as they
 * watch each other, or by force. An interrupt is passed on to each once.
 * @returns the exit code for the whole
 */
export async function supervise(options: SuperviseOptions, signal: AbortSignal): Promise<number> {
  for (let attempt = 0; ; attempt++) {
    const code = await runOnce(options, attempt, signal);
    if (final_codes.has(code) || signal.aborted || attempt >= options.max_restarts) return code;
    options.onLine(`starting all ranks again, ${attempt + 1} of at most ${options.max_restarts} times`);
  }
}

async function runOnce(options: SuperviseOptions, attempt: number, signal: AbortSignal): Promise<number> {
  const { nproc, grace_s, onLine } = options;
  const port = options.port === 0 ? await freePort(options.address) : options.port;
  const command = [...options.command, ...(attempt > 0 ? await options.restartArguments() : [])];
  const again = { ...options, command };
  const children = Array.from({ length: nproc }, (_, local_rank) => startRank(again, attempt, port, local_rank));
  const pass = (): void => children.forEach(({ child }) => child.kill("SIGINT"));
  signal.addEventListener("abort", pass, { once: true });
  let force: NodeJS.Timeout | undefined;
  const codes = await Promise.all(
    children.map(async ({ rank, exited }) => {
      const { code, killed_by } = await exited;
      if (code === 0 || force !== undefined) return code;
      if (killed_by !== null) onLine(`rank ${rank} was ended by ${killed_by}`);
      force = setTimeout(() => {
        onLine(`the other ranks did not end within ${grace_s} s after rank ${rank} and are ended by force`);
        children.forEach(({ child }) => child.kill("SIGKILL"));
      }, grace_s * 1000);
      return code;
    }),
  );
  clearTimeout(force);
  signal.removeEventListener("abort", pass);
  return codes.find((code) => code !== 0 && final_codes.has(code)) ?? codes.find((code) => code !== 0) ?? 0;
}

interface Started {
  readonly rank: number;
  readonly child: ChildProcess;
  readonly exited: Promise<{ readonly code: number; readonly killed_by: string | null }>;
}

function startRank(options: SuperviseOptions, attempt: number, port: number, local_rank: number): Started {
  const { command, nproc, nodes, node_rank, address, onLine } = options;
  const rank = node_rank * nproc + local_rank;
  const [program, ...args] = command;
  const shown = local_rank === 0; // it speaks for all
  const child = spawn(program!, args, {
    // A session of its own: the terminal's Ctrl-C comes here, and is passed on once.
    detached: true,
    stdio: ["ignore", shown ? "inherit" : "ignore", shown ? "inherit" : "pipe", "ipc"],
    env: {
      ...process.env,
      ...{ RANK: `${rank}`, LOCAL_RANK: `${local_rank}`, WORLD_SIZE: `${nodes * nproc}`, LOCAL_WORLD_SIZE: `${nproc}` },
      ...{ MASTER_ADDR: address, MASTER_PORT: `${port}`, SIGHTLOOP_ATTEMPT: `${attempt}` },
    },
  });
  if (child.stderr !== null)
    createInterface({ input: child.stderr }).on("line", (line) => onLine(`rank ${rank}: ${line}`));
  const exited = new Promise<Awaited<Started["exited"]>>((resolve) => {
    child.once("error", (error) => {
      onLine(`rank ${rank} could not be started: ${error.message}`);
      resolve({ code: 1, killed_by: null });
    });
    child.once("exit", (code, killed_by) => resolve({ code: code ?? 1, killed_by }));
  });
  return { rank, child, exited };
}

/** In a process that `supervise` has started: stops it once its parent is gone, however that ended. */
export function stopWithParent(): void {
  if (process.channel === undefined) return;
  process.on("disconnect", () => process.kill(process.pid, "SIGTERM"));
  process.channel.unref();
}

const freePort = (address: string): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, address, () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
