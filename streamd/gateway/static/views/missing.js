/** An address that means nothing. */
import { h } from "../dom.js";
import { empty, head } from "../parts.js";
import { t } from "../strings.js";

export function show({ root }) {
  root.append(head(t.missing.title), empty(t.missing.text, "", h("a.button", { href: "#/" }, t.home), "question"));
}
