import { Empty } from "./ui.tsx";

export function StateView() {
  return <Empty title="…" />;
}
