/**
 * Every camera: whether it delivers, what is wrong where it does not, and changing them.
 */
import { api, at, sentence } from "../api.js";
import { pause } from "../backoff.js";
import { cameraDialog, phoneLink } from "../cameraform.js";
import { confirm } from "../dialog.js";
import { h, replace } from "../dom.js";
import { figure, moment, ms, now, span } from "../format.js";
import { load } from "../loading.js";
import { button, empty, head, state } from "../parts.js";
import { to } from "../router.js";
import { session } from "../session.js";
import { systemTabs } from "../systemtabs.js";
import { t } from "../strings.js";
import { attempt, toast } from "../toast.js";

const EVERY_MS = 5000;

export async function show({ root, query, signal }) {
  const box = h("div");
  const add = () => cameraDialog({ done: read });
  const addButton = button(t.cameras.add, {
    sign: "plus",
    kind: "main",
    testid: "add-camera",
    click: add,
    hidden: true,
  });
  root.append(
    head(t.cameras.title, {
      lead: t.cameras.lead,
      actions: [
        h("a.button", { href: "/camera", "data-testid": "to-phone" }, t.cameras.thisDevice),
        session.may("admin") && addButton,
      ],
    }),
    systemTabs("cameras"),
    box,
  );
  if (await read()) void watch();
  if (query.get("add")) add();

  function read() {
    return load(box, signal, ask, ([cameras, editable]) => {
      addButton.hidden = !editable;
      if (cameras.length === 0)
        return empty(
          t.cameras.none,
          t.cameras.noneText,
          editable ? button(t.cameras.add, { sign: "plus", kind: "main", click: add }) : t.needs.admin,
          "camera",
        );
      return [
        session.may("admin") && !editable && h("p.notice.notice-plain", {}, t.cameras.readOnly),
        h(
          "ul.cameras",
          { "data-testid": "cameras" },
          cameras.map((camera) => row(camera, editable, read)),
        ),
      ];
    });
  }

  /** The cameras, and whether they can be changed here. */
  async function ask() {
    const [cameras, system] = await Promise.all([
      api.get("cameras", {}, { signal }),
      session.may("admin") ? api.get("system", {}, { signal }) : null,
    ]);
    return [cameras, Boolean(system?.may_edit)];
  }

  /** Only the figures change by themselves: what has the focus stays. */
  async function watch() {
    while (!signal.aborted) {
      try {
        await pause(EVERY_MS, signal);
        for (const camera of await api.get("cameras", {}, { signal })) {
          const facts = box.querySelector(`[data-camera="${CSS.escape(camera.name)}"] .camera-facts`);
          if (facts) replace(facts, factsOf(camera));
        }
      } catch {
        // The banner tells of a daemon that is away.
      }
    }
  }
}

function row(camera, editable, changed) {
  return h(
    "li.card.camera",
    { "data-testid": "camera", data: { camera: camera.name } },
    h(
      "div.camera-head",
      {},
      h("h2", {}, h("a", { href: to("live", camera.name) }, camera.name)),
      h("span.tag", {}, t.cameras.kinds[camera.kind] ?? camera.kind),
    ),
    h("div.camera-facts", {}, factsOf(camera)),
    editable &&
      h(
        "div.row",
        {},
        camera.kind === "whip" &&
          button(t.cameras.link, {
            sign: "link",
            kind: "quiet",
            testid: "phone-link",
            click: () => phoneLink(camera.name),
          }),
        camera.kind !== "remote" &&
          button(t.cameras.change, {
            sign: "edit",
            kind: "quiet",
            testid: "edit-camera",
            click: () => cameraDialog({ camera, done: changed }),
            "aria-label": t.cameras.changeOf(camera.name),
          }),
        button(t.cameras.delete, {
          sign: "trash",
          kind: "quiet",
          testid: "delete-camera",
          click: () => remove(camera, changed),
          "aria-label": t.cameras.deleteOf(camera.name),
        }),
      ),
  );
}

function factsOf(camera) {
  const name = camera.online ? "online" : camera.online === null ? "waiting" : "offline";
  const facts = [
    camera.online && [t.cameras.rate, `${figure(camera.decoded_fps, 1)} / s`],
    camera.online && [t.cameras.looks, `${figure(camera.looks_per_s, 1)} / s`],
    camera.online && [t.cameras.age, ms(camera.frame_age_p95_s)],
    camera.online && [t.cameras.faces, camera.tracks],
    [t.cameras.viewers, camera.viewers],
  ].filter(Boolean);
  return [
    h(
      "p.camera-state",
      {},
      state(name),
      camera.since &&
        h(
          "span.quiet",
          {},
          t.cameras.since,
          " ",
          h(
            "time",
            { datetime: camera.since, title: moment(camera.since) },
            span((now() - new Date(camera.since)) / 1000),
          ),
        ),
    ),
    h("p", { class: camera.online === false ? "trouble" : "" }, sentence(camera.message ?? "")),
    camera.url && h("p.quiet.break", {}, h("code", {}, camera.url)),
    camera.substream && h("p.quiet.break", {}, t.cameras.substream, " ", h("code", {}, camera.substream)),
    h(
      "dl.facts",
      {},
      facts.map(([k, v]) => h("div", {}, h("dt", {}, k), h("dd", {}, v))),
    ),
  ];
}

async function remove(camera, changed) {
  if (
    !(await confirm({
      title: t.cameras.deleteTitle(camera.name),
      text: t.cameras.deleteText,
      yes: t.cameras.delete,
      danger: true,
    }))
  )
    return;
  await attempt(async () => {
    await api.delete(at`cameras/${camera.name}`);
    toast(t.cameras.deleted(camera.name));
    await changed();
  });
}
