export interface DownloadProgress {
  /** `org/name` */
  readonly repository: string;
  /** Bytes, those found on disk included. */
  readonly done: number;
  readonly total: number;
}

/** How a caller follows and stops downloads. */
export interface HubOptions {
  readonly on_progress?: ((progress: DownloadProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE, HF_HUB_CACHE, HF_HOME; absent: those of the process. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Before the first retry; it doubles with each. */
  readonly retry_wait_ms?: number | undefined;
}
