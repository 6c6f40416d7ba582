/** A component that is drawn again only where one of its properties is another value. */
import { type ComponentType, type FunctionComponent, createElement, Component } from "preact";

export function memo<P extends object>(inner: FunctionComponent<P>): ComponentType<P> {
  return class extends Component<P> {
    static displayName = inner.displayName ?? inner.name;

    override shouldComponentUpdate(next: Readonly<P>): boolean {
      const before = this.props as Record<string, unknown>;
      const after = next as Record<string, unknown>;
      const names = Object.keys(after);
      return names.length !== Object.keys(before).length || names.some((name) => before[name] !== after[name]);
    }

    override render() {
      return createElement(inner, this.props as P);
    }
  } as unknown as ComponentType<P>;
}
