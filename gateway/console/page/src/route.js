// Where one is, as the fragment of the URL: #/clients/7?text=pump. A view can be sent to somebody by it.
import { signal } from "@preact/signals";

export const route = signal(read());

function read() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [room, ...rest] = path.split("/");
  return { room: room || "now", item: decodeURIComponent(rest.join("/")), query: new URLSearchParams(query) };
}

export function href(room, item = "", query = {}) {
  const kept = Object.entries(query).filter(([, value]) => value !== "" && value !== undefined);
  const asked = new URLSearchParams(kept).toString();
  return `#/${room}${item === "" ? "" : `/${encodeURIComponent(item)}`}${asked ? `?${asked}` : ""}`;
}

// The same room with other parameters; it is no step that "back" goes through.
export function change(query) {
  const { room, item, query: now } = route.value;
  history.replaceState(null, "", href(room, item, { ...Object.fromEntries(now), ...query }));
  route.value = read();
}

addEventListener("hashchange", () => {
  route.value = read();
});
