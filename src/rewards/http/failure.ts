/** A server gave no score. The message says what it did, without headers or keys. */
export class ServiceFailure extends Error {
  readonly status: "timeout" | "error";
  readonly hint: string;

  constructor(status: "timeout" | "error", message: string, hint: string, options?: ErrorOptions) {
    super(message, options);
    this.status = status;
    this.hint = hint;
  }
}
