/**
 * Adding and changing a camera, with a picture of it before anything is saved; and the link for a phone.
 */
import { api, at, sentence } from "./api.js";
import { openDialog } from "./dialog.js";
import { h, replace } from "./dom.js";
import { icon } from "./icons.js";
import { busy, button, field, notice } from "./parts.js";
import { qrSvg } from "./qr.js";
import { t } from "./strings.js";
import { attempt, toast } from "./toast.js";

/** @param {{camera?: object, done: () => any}} options `camera`: the one to change */
export function cameraDialog({ camera, done }) {
  const kind = camera?.kind ?? "url";
  const name = h("input.input", {
    type: "text",
    value: camera?.name ?? "",
    required: true,
    maxlength: 63,
    pattern: "[A-Za-z0-9][A-Za-z0-9_\\-]*",
    title: t.cameras.nameHint,
    autocapitalize: "off",
    spellcheck: "false",
    disabled: Boolean(camera),
    autofocus: !camera,
    "data-testid": "camera-name",
  });
  const address = h("input.input", {
    type: "text",
    inputmode: "url",
    value: camera?.url ?? "",
    placeholder: "rtsp://user:password@192.168.1.20/stream1",
    spellcheck: "false",
    autocapitalize: "off",
    autocomplete: "off",
    "data-testid": "camera-url",
  });
  const substream = h("input.input", {
    type: "text",
    inputmode: "url",
    value: camera?.substream ?? "",
    spellcheck: "false",
    autocapitalize: "off",
    autocomplete: "off",
    "data-testid": "camera-substream",
  });
  const kinds = ["url", "whip"].map((value) =>
    h("input", { type: "radio", name: "kind", value, checked: value === kind, "data-testid": `camera-kind-${value}` }),
  );
  const result = h("div.test-result", { role: "status", "data-testid": "camera-test-result" });
  const said = notice();
  const tryIt = button(t.cameras.test, { sign: "eye", click: test, testid: "camera-test" });
  const save = button(t.save, { type: "submit", kind: "main", testid: "camera-save" });
  const byAddress = h(
    "div.stack",
    {},
    field(t.cameras.url, address, camera?.url?.includes("***") ? t.cameras.urlKept : t.cameras.urlHint),
    h("details", {}, h("summary", {}, t.cameras.more), field(t.cameras.substream, substream, t.cameras.substreamHint)),
    h("div.row", {}, tryIt),
    result,
  );
  const byPhone = h("p.quiet", {}, t.cameras.phoneHint);
  const form = h(
    "form.stack",
    {},
    !camera &&
      h(
        "fieldset.choice",
        {},
        h("legend.field-label", {}, t.cameras.kind),
        h("label.choice-card", {}, kinds[0], icon("camera"), h("span", {}, t.cameras.byAddress)),
        h("label.choice-card", {}, kinds[1], icon("phone"), h("span", {}, t.cameras.byPhone)),
      ),
    field(t.cameras.name, name, camera ? null : t.cameras.nameHint),
    byAddress,
    byPhone,
    said,
    h("div.row.row-end", {}, button(t.cancel, { click: () => dialog.close() }), save),
  );
  kinds.forEach((radio) => radio.addEventListener("change", draw));
  address.addEventListener("input", () => replace(result));
  draw();
  const dialog = openDialog({
    title: camera ? t.cameras.changeOf(camera.name) : t.cameras.add,
    body: form,
    testid: "camera-dialog",
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void store();
  });

  function isPhone() {
    return kinds[1].checked;
  }
  function draw() {
    byAddress.hidden = isPhone();
    byPhone.hidden = !isPhone();
    address.required = !isPhone();
  }
  /** Where the picture comes from. An address that is given as it was shown keeps its password. */
  function origin() {
    if (isPhone()) return { whip: true };
    const second = substream.value.trim();
    return { url: address.value.trim(), ...(second && { substream: second }) };
  }

  async function test() {
    if (!address.reportValidity()) return;
    replace(result, h("p.quiet", {}, t.cameras.testing));
    try {
      const told = await busy(tryIt, () =>
        api.post("cameras/test", { ...origin(), ...(camera && { name: camera.name }) }),
      );
      replace(
        result,
        told.picture?.startsWith("data:image/") &&
          h("img", { src: told.picture, alt: t.cameras.testAlt, "data-testid": "camera-test-picture" }),
        h(
          "p",
          { class: told.ok ? "good" : "trouble" },
          icon(told.ok ? "check" : "warning"),
          " ",
          sentence(told.message),
        ),
        told.advice && h("p.quiet", {}, sentence(told.advice)),
      );
    } catch (error) {
      replace(result, h("p.trouble", {}, error.message));
    }
  }

  const before = JSON.stringify(origin());
  async function store() {
    said.say("");
    if (camera && JSON.stringify(origin()) === before) return dialog.close();
    try {
      const made = await busy(save, () =>
        camera
          ? api.put(at`cameras/${camera.name}`, origin())
          : api.post("cameras", { name: name.value.trim(), ...origin() }),
      );
      dialog.close();
      toast(t.cameras.saved(name.value.trim()));
      await done();
      if (!camera && made?.kind === "whip") phoneLink(made.name);
    } catch (error) {
      said.say([error.message, ...(error.body?.problems ?? [])].join("\n"));
    }
  }
}

/** The link with which a phone becomes the camera `name`, without a login. */
export function phoneLink(name) {
  const box = h("div.stack");
  openDialog({ title: t.link.title(name), body: box, testid: "phone-link-dialog" });
  replace(
    box,
    h("p", {}, t.link.text),
    h("p.notice.notice-plain", {}, t.link.once),
    !window.isSecureContext &&
      h("p.notice.notice-error", {}, t.device.insecure(location.origin.replace(/^http:/, "https:"))),
    h("div.row", {}, button(t.link.make, { kind: "main", sign: "link", testid: "make-link", click: make })),
  );

  async function make(event) {
    await attempt(async () => {
      const { token } = await busy(event.currentTarget, () => api.post(at`cameras/${name}/token`));
      const link = `${location.origin}/camera#${new URLSearchParams({ name, token })}`;
      const input = h("input.input", {
        type: "text",
        value: link,
        readonly: true,
        "aria-label": t.link.address,
        "data-testid": "link",
        on: { focus: (e) => e.target.select() },
      });
      const copy = () =>
        navigator.clipboard.writeText(link).then(
          () => toast(t.link.copied),
          () => input.select(),
        );
      replace(
        box,
        h("p", {}, t.link.scan),
        qrSvg(link, t.link.qr),
        h("div.row", {}, input, navigator.clipboard && button(t.link.copy, { sign: "link", click: copy })),
        h("p.quiet", {}, t.link.kept),
      );
    });
  }
}
