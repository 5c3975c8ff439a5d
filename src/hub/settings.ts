import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { UserError } from "../errors.js";
import type { HubOptions } from "./options.js";

/** What the environment says about the hub; the names and their meaning are those of Hugging Face's own tools. */
export interface HubSettings {
  /** Without a slash at the end. */
  readonly endpoint: string;
  /** Sent to the endpoint only, and never shown. */
  readonly token: string | undefined;
  readonly cache: string;
  readonly offline: boolean;
}

export function hubSettings({ env = process.env }: HubOptions): HubSettings {
  const home = env["HF_HOME"] || join(env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "huggingface");
  return {
    endpoint: endpointOf(env["HF_ENDPOINT"] || "https://huggingface.co"),
    token: tokenOf(env["HF_TOKEN"]),
    cache: resolve(env["HF_HUB_CACHE"] || join(home, "hub")),
    offline: /^(1|on|yes|true)$/i.test(env["HF_HUB_OFFLINE"] ?? ""),
  };
}

function endpointOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "")
    return text.replace(/\/+$/, "");
  throw new UserError(
    "CONFIG_INVALID",
    "HF_ENDPOINT is not the address of a hub",
    "Write it like https://example.com.",
  );
}

function tokenOf(text: string | undefined): string | undefined {
  const token = text?.trim();
  if (token === undefined || token === "") return undefined;
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new UserError("CONFIG_INVALID", "HF_TOKEN holds characters that no token has", "Set it to the token alone.");
}
