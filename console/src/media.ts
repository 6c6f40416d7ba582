/** Files inside JSON: data URLs, and what their bytes are. */

export interface MediaFile {
  type: string;
  url: string;
  size: number;
}

const HEADS: [string, string][] = [
  ["\x89PNG\r\n\x1a\n", "image/png"],
  ["\xff\xd8\xff", "image/jpeg"],
  ["GIF8", "image/gif"],
  ["OggS", "audio/ogg"],
  ["fLaC", "audio/flac"],
  ["ID3", "audio/mpeg"],
  ["\xff\xfb", "audio/mpeg"],
  ["\x1aE\xdf\xa3", "video/webm"],
  ["%PDF-", "application/pdf"],
];

/** What bytes are, by how they begin; empty where that says nothing. */
export function sniffed(head: string): string {
  for (const [start, type] of HEADS) if (head.startsWith(start)) return type;
  if (head.startsWith("RIFF")) return head.slice(8, 12) === "WEBP" ? "image/webp" : head.slice(8, 12) === "WAVE" ? "audio/wav" : "";
  if (head.slice(4, 8) === "ftyp") return head.slice(8, 12).startsWith("avif") ? "image/avif" : "video/mp4";
  return "";
}

/** The file in a data URL; null for other text. The type is that of the bytes where they tell it. */
export function mediaOf(text: string): MediaFile | null {
  const found = /^data:([\w.+-]+\/[\w.+-]+)?(?:;[\w-]+=[^;,]*)*;base64,/i.exec(text.slice(0, 200));
  if (!found) return null;
  const encoded = text.slice(found[0].length);
  const told = (found[1] ?? "").toLowerCase();
  const type = sniffed(decoded(encoded.slice(0, 32))) || told;
  const size = Math.max(0, Math.floor((encoded.length * 3) / 4) - (encoded.endsWith("==") ? 2 : encoded.endsWith("=") ? 1 : 0));
  return { type, url: `data:${type || "application/octet-stream"};base64,${encoded}`, size };
}

function decoded(base64: string): string {
  try {
    return atob(base64.slice(0, base64.length - (base64.length % 4)));
  } catch {
    return "";
  }
}

export function dataUrl(file: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(new Error("the file cannot be read"));
    reader.readAsDataURL(file);
  });
}
