import type { DownloadProgress } from "../hub/options.js";
import { type LoadingBar, loadingBar } from "./loading-bar.js";

/** Of downloads from the hub, one repository after the other; on stderr. */
export function downloadBar(): Disposable & { readonly show: (event: DownloadProgress) => void; clear(): void } {
  let bar: LoadingBar | undefined;
  let shown: string | undefined;
  const clear = (): void => bar?.clear();
  const show = ({ repository, done, total }: DownloadProgress): void => {
    if (repository !== shown) {
      clear();
      bar = loadingBar(`downloading ${repository}`);
      shown = repository;
    }
    if (done >= total) clear();
    else bar!.show(done, total);
  };
  return { show, clear, [Symbol.dispose]: clear };
}
