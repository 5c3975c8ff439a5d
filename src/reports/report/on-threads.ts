import { on } from "node:events";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";

const most_threads = 8;
/** Tasks that a thread is given before its first answer, so that it need not wait for the next one. */
const ahead = 8;

/** Answers to tasks, in their order, by threads that send back one message for each that they get. */
export async function* onThreads<Task, Answer>(entry: URL, tasks: readonly Task[]): AsyncGenerator<Answer> {
  const length = Math.max(1, Math.min(availableParallelism() - 1, most_threads, tasks.length)); // one core is for this thread
  const workers = Array.from({ length }, () => new Worker(entry, { execArgv: [] }));
  const give = (index: number): void => {
    if (index < tasks.length) workers[index % length]!.postMessage(tasks[index]);
  };
  try {
    const answers = workers.map((worker) => on(worker, "message"));
    for (let i = 0; i < ahead * length; i++) give(i);
    for (let i = 0; i < tasks.length; i++) {
      const { value } = (await answers[i % length]!.next()) as IteratorYieldResult<[Answer]>;
      give(i + ahead * length);
      yield value[0];
    }
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}
