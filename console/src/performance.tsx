import { Empty } from "./ui.tsx";

export function Performance() {
  return <Empty title="…" />;
}
