// Talks to the API that served this page. All addresses are relative: behind a stage they stay behind it.
const STORE = "clave-api";
const WAITS = [1, 2, 4, 8]; // seconds before asking again, when the gateway says there were too many requests
const LONGEST_WAIT = 30; // seconds, whatever it says

let key = "";
try {
  key = sessionStorage.getItem(STORE) ?? "";
} catch {
  // Storage is refused: the key then lasts as long as the page.
}

/** What the API said no with. `status` 0: it couldn't be reached. `detail`: its own words, a text or a list. */
export class ApiError extends Error {
  constructor(status, detail = "") {
    super(`HTTP ${status}`);
    this.status = status;
    this.detail = detail;
  }
}

export const hasKey = () => key !== "";

/** Keep the key for this session; an empty one is forgotten. */
export function useKey(given) {
  key = given.trim();
  try {
    if (key) sessionStorage.setItem(STORE, key);
    else sessionStorage.removeItem(STORE);
  } catch {
    // As above.
  }
}

/** GET a JSON document. Throws ApiError. */
export const get = (path, signal) => send(path, { signal });

/** POST a body and read the JSON answer; waits and asks again on 429. Throws ApiError. */
export const post = (path, body, signal) =>
  send(path, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" }, signal });

async function send(path, options, attempt = 0) {
  const response = await request(path, options);
  if (response.status === 429 && attempt < WAITS.length) {
    const seconds = Number(response.headers.get("retry-after")) || WAITS[attempt];
    await pause(Math.min(seconds, LONGEST_WAIT), options.signal);
    return send(path, options, attempt + 1);
  }
  const content = await response.json().catch(() => null);
  if (!response.ok) throw new ApiError(response.status, content?.detail ?? content?.message);
  if (content === null) throw new ApiError(0); // something else than the API answered: a proxy, a captive portal
  return content;
}

async function request(path, options) {
  // A key that no header can carry is a wrong key, not a broken line.
  if (!/^[\x20-\x7e]*$/.test(key)) throw new ApiError(403);
  const headers = { accept: "application/json", ...options.headers, ...(key && { "x-api-key": key }) };
  try {
    return await fetch(path, { ...options, headers, credentials: "same-origin" });
  } catch (error) {
    throw options.signal?.aborted ? error : new ApiError(0);
  }
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
