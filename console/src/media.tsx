import { bytes } from "./format.ts";
import type { MediaFile } from "./media.ts";

/** An image, sound or film; anything else as a file to save. Images of SVG have no scripts inside `img`. */
export function Media({ media, alt }: { media: MediaFile; alt: string }) {
  const kind = media.type.split("/")[0];
  return (
    <figure class="media">
      {kind === "image" ? (
        <img src={media.url} alt={alt} />
      ) : kind === "audio" ? (
        <audio controls src={media.url} aria-label={alt} />
      ) : kind === "video" ? (
        <video controls src={media.url} aria-label={alt} />
      ) : null}
      <figcaption>
        {media.type || "bytes"} · {bytes(media.size)} <a href={media.url} download={`answer.${extension(media.type)}`}>save</a>
      </figcaption>
    </figure>
  );
}

function extension(type: string): string {
  const end = type.split("/")[1] ?? "";
  return /^[a-z0-9]+$/.test(end) ? end.replace("jpeg", "jpg") : "bin";
}
