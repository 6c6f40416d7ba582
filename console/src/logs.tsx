import { Empty } from "./ui.tsx";

export function Logs() {
  return <Empty title="…" />;
}
