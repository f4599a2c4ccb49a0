// Messages of streams, as JetStream's API tells them.

// One message, by its sequence or the last one of a subject; `asked` sends the request.
export async function stored(asked, stream, which) {
  return (await asked(`STREAM.MSG.GET.${stream}`, which)).message;
}

export function messageOf(message) {
  const data = Uint8Array.from(atob(message.data ?? ""), (letter) => letter.charCodeAt(0));
  return { subject: message.subject, data, headers: headersIn(message.hdrs), at: new Date(message.time) };
}

// The lines of a header block behind its first one.
function headersIn(encoded) {
  if (!encoded) return [];
  return atob(encoded).split("\r\n").slice(1).filter(Boolean).map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
}
