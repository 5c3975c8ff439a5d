import { request } from "node:http";

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** A request to a server of this machine, as it is given: fetch would tidy the path and set the Host header itself. */
export function ask(
  path: string,
  options: {
    readonly port: number;
    readonly headers?: Readonly<Record<string, string>>;
    readonly method?: string;
    readonly body?: string;
  },
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const { port, headers = {}, method = "GET", body } = options;
    const sent = request({ host: "127.0.0.1", port, path, method, headers, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => (text += part));
      response.on("end", () => resolve({ status: response.statusCode!, headers: response.headers, body: text }));
    });
    sent.on("error", reject).end(body);
  });
}
