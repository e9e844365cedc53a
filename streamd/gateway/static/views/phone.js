/**
 * This device as a camera: the page at /camera, made for a phone that is put somewhere and left alone.
 *
 * `#name=door&token=...` says which camera it is and lets it in without a login.
 */
import { api } from "../api.js";
import { cameraObstacle, keepAwake, openCamera, stopCamera } from "../devicecamera.js";
import { h, replace } from "../dom.js";
import { icon } from "../icons.js";
import { logo } from "../logo.js";
import { loginPage } from "../login.js";
import { busy, button, field, iconButton, notice } from "../parts.js";
import { session } from "../session.js";
import { banner, themeButton } from "../shell.js";
import { t } from "../strings.js";
import { sendCamera } from "../whip.js";

const NEW = "+";

export async function showPhone(app) {
  document.title = `${t.phone.title} · ${t.app}`;
  const link = new URLSearchParams(location.hash.slice(1));
  const token = link.get("token") ?? "";
  if (!token) {
    try {
      if (!(await session.load()))
        return void replace(
          app,
          loginPage(() => showPhone(app)),
        );
    } catch (error) {
      return void replace(
        app,
        frame(
          h("p.notice.notice-error", { role: "alert" }, error.message),
          button(t.tryAgain, { click: () => showPhone(app) }),
        ),
      );
    }
  }
  const name = link.get("name") ?? "";
  const obstacle = cameraObstacle();
  const content = h("div.phone");
  replace(app, frame(content));
  if (obstacle)
    return void content.append(h("div.notice.notice-error", { role: "alert", "data-testid": "obstacle" }, obstacle));
  if (!token && !session.may("operator"))
    return void content.append(h("p.notice.notice-error", { "data-testid": "forbidden" }, t.needs.operator));
  content.append(sender({ name, token }));
}

const frame = (...content) =>
  h(
    "div.phone-page",
    {},
    h(
      "header.top.top-always",
      {},
      h("a.top-home", { href: "/", "aria-label": t.home }, logo()),
      h("div.top-tools", {}, themeButton()),
    ),
    banner(),
    h(
      "main.main",
      { id: "main" },
      h("header.head", {}, h("h1", {}, t.phone.title), h("p.lead", {}, t.phone.lead)),
      content,
    ),
  );

function sender({ name, token }) {
  let stream = null;
  let facing = "environment";
  let sending = null;
  /** @type {AbortController|null} */
  let running = null;
  const video = h("video.phone-video", {
    autoplay: true,
    muted: true,
    playsInline: true,
    "aria-label": t.snap.preview,
    "data-testid": "phone-preview",
  });
  const stateBox = h("p.phone-state", { role: "status", data: { state: "idle" }, "data-testid": "phone-state" });
  const said = notice();
  const choice = h("select.input", {
    "aria-label": t.phone.camera,
    "data-testid": "phone-camera",
    on: { change: newName },
  });
  const made = h("input.input", {
    type: "text",
    maxlength: 63,
    pattern: "[A-Za-z0-9][A-Za-z0-9_\\-]*",
    title: t.cameras.nameHint,
    autocapitalize: "off",
    spellcheck: "false",
    "data-testid": "phone-new-name",
  });
  const madeField = field(t.phone.newName, made, t.cameras.nameHint);
  const start = button(t.phone.start, { kind: "main", sign: "live", testid: "phone-start", click: begin });
  const stop = button(t.phone.stop, { sign: "close", testid: "phone-stop", click: end, hidden: true });
  const flip = iconButton(t.phone.flip, "flip", {
    testid: "phone-flip",
    click: () => (looking = look(facing === "user" ? "environment" : "user")),
  });
  const which = token
    ? h("p", {}, t.phone.as, " ", h("strong.break", {}, name))
    : h("div.stack", {}, field(t.phone.camera, choice), madeField);
  say("idle", t.phone.idle);
  let filling = token ? null : fill();
  let looking = look(facing);
  window.addEventListener("pagehide", () => stopCamera(stream));
  return h(
    "div.phone-grid",
    {},
    h("div.phone-stage", {}, video, flip, stateBox),
    h("div.stack", {}, said, which, h("div.row", {}, start, stop), h("p.quiet", {}, t.phone.hint)),
  );

  function say(state, words) {
    stateBox.dataset.state = state;
    replace(stateBox, icon(state === "sending" ? "live" : state === "refused" ? "off" : "dots"), h("span", {}, words));
  }

  /** The cameras that wait for a phone. */
  async function fill() {
    try {
      const cameras = (await api.get("cameras")).filter((camera) => camera.kind === "whip");
      const options = cameras.map((camera) =>
        h("option", { value: camera.name, selected: camera.name === name }, camera.name),
      );
      if (session.may("admin")) options.push(h("option", { value: NEW }, t.phone.newCamera));
      replace(choice, options);
      if (options.length === 0) said.say(t.phone.noCamera);
      newName();
    } catch (error) {
      said.say(error.message);
    }
  }
  function newName() {
    madeField.hidden = choice.value !== NEW;
  }

  /** Shows the front or the back camera; sends it, where something is being sent. */
  async function look(wanted) {
    facing = wanted;
    try {
      // Many phones give one camera at a time.
      const before = stream;
      if (!running) stopCamera(before);
      stream = await openCamera(facing).catch(async (error) => {
        if (!running) throw error;
        stopCamera(before);
        return openCamera(facing);
      });
      const [track] = stream.getVideoTracks();
      await sending?.exchange(track);
      if (before !== stream) stopCamera(before);
      video.srcObject = stream;
      video.dataset.on = "yes";
      video.classList.toggle("mirrored", facing === "user");
      said.say("");
      // Another program took the camera, or the phone slept: it is opened again.
      track.addEventListener(
        "ended",
        () => running && stream?.getVideoTracks()[0] === track && setTimeout(() => look(facing), 1000),
      );
    } catch (error) {
      said.say(error.message);
    }
  }

  async function begin() {
    said.say("");
    try {
      const ready = await busy(start, prepared);
      if (!ready) return;
      const { camera, track } = ready;
      running = new AbortController();
      keepAwake(running.signal);
      shown(true);
      sending = sendCamera(track, camera, { token, signal: running.signal, say });
      await sending.done;
      if (running && !running.signal.aborted) shown(false); // It was refused: what was said stays.
    } catch (error) {
      said.say(error.message);
    }
  }

  /** What is to be sent, and as which camera; null where that cannot be had, which was said. */
  async function prepared() {
    const camera = token ? name : await chosen();
    if (!camera) return null;
    await looking;
    if (!stream?.active) await (looking = look(facing));
    const track = stream?.getVideoTracks()[0];
    return track ? { camera, track } : null;
  }

  /** The camera's name; one that is new is made first. */
  async function chosen() {
    await filling;
    if (!choice.value) await (filling = fill());
    if (choice.value !== NEW) return choice.value;
    if (!made.value.trim() || !made.reportValidity()) return void made.focus();
    const camera = await api.post("cameras", { name: made.value.trim(), whip: true });
    choice.prepend(h("option", { value: camera.name, selected: true }, camera.name));
    newName();
    return camera.name;
  }

  function end() {
    running?.abort();
    running = sending = null;
    shown(false);
    say("idle", t.phone.stopped);
  }
  function shown(on) {
    start.hidden = on;
    stop.hidden = !on;
    choice.disabled = on;
    if (!on) running = null;
  }
}
