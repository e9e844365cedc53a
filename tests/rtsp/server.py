#!/usr/bin/python3
"""A real RTSP server on loopback whose pictures a test chooses (GStreamer; run with the system's Python).

usage: server.py PORT WIDTH HEIGHT FPS [BASIC|DIGEST]

Mounts /cam1 .. /cam4 (H.264), /h265, /mjpeg, /private (H.264, user:secret), and /audio, which has no picture. What a
mount shows is set on standard input; each command is answered by one line:

    show MOUNT FILE   raw I420 picture, from the next frame on   -> "shown MOUNT SECONDS" (monotonic, first frame;
                      at once where nobody watches)
    freeze | resume   keep connections open, push nothing        -> "did ..."
    freeze MOUNT | resume   the same of one mount
    drop              close every client's connection
    quit

A row of pixels at the bottom edge changes in every frame, so that the encoder always has something to say.

With SUB=640x360 in the environment there are /main and /sub as well, two encodings of one scene as a camera with a
sub-stream gives them. The number of the scene's frame is written into both: 16 bits as bright and dark blocks along the
upper edge. With MAIN_LATE=N /main comes N frames late under its proper time stamps, as from a slow encoder.
FILES=name=/path.mp4,... adds /name, which plays an H.264 file to each viewer from its start without encoding anything.
"""

import os
import signal
import sys
import time

import gi

for name in ("Gst", "GstRtspServer", "GstRtsp", "GstApp"):
    gi.require_version(name, "1.0")
from gi.repository import GLib, Gst, GstApp, GstRtsp, GstRtspServer  # noqa: E402,F401

Gst.init(None)
PORT, WIDTH, HEIGHT, FPS = sys.argv[1], *map(int, sys.argv[2:5])
AUTH = sys.argv[5] if len(sys.argv) > 5 else "BASIC"
SUB = tuple(map(int, os.environ["SUB"].split("x"))) if os.environ.get("SUB") else None
SIZES = {"sub": SUB or (WIDTH, HEIGHT)}
CODE_BITS = 16
H264 = (
    f"x264enc tune=zerolatency speed-preset=ultrafast bitrate=2500 key-int-max={FPS} threads=1 ! "
    "video/x-h264,profile=baseline ! h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
)
H265 = (
    f"x265enc tune=zerolatency speed-preset=ultrafast bitrate=2500 key-int-max={FPS} ! "
    "h265parse config-interval=-1 ! rtph265pay name=pay0 pt=96 config-interval=-1 )"
)
MJPEG = "jpegenc quality=85 ! rtpjpegpay name=pay0 pt=26 )"
AUDIO = "( audiotestsrc is-live=true ! alawenc ! rtppcmapay name=pay0 pt=8 )"
MOUNTS = {
    **{f"cam{i}": (H264, ("anon", "user")) for i in range(1, 5)},
    "h265": (H265, ("anon", "user")),
    "mjpeg": (MJPEG, ("anon", "user")),
    "private": (H264, ("user",)),
    "audio": (AUDIO, ("anon", "user")),
}

if SUB:
    MOUNTS |= {"main": (H264, ("anon", "user")), "sub": (H264, ("anon", "user"))}
MAIN_LATE = int(os.environ.get("MAIN_LATE") or 0)
FILES = dict(entry.split("=", 1) for entry in os.environ.get("FILES", "").split(",") if entry)


def size_of(mount):
    return SIZES.get(mount, (WIDTH, HEIGHT))


def grey(mount):
    width, height = size_of(mount)
    return bytes([90]) * (width * height) + bytes([128]) * (width * height // 2)


def source(mount):
    width, height = size_of(mount)
    return (
        "( appsrc name=src is-live=true format=time block=false max-bytes=30000000 "
        f'caps="video/x-raw,format=I420,width={width},height={height},framerate={FPS}/1" ! '
    )


def numbered(picture, mount, number):
    """With the number of the frame along the upper edge."""
    width, height = size_of(mount)
    block = width // CODE_BITS
    row = b"".join(bytes([220 if number >> bit & 1 else 35]) * block for bit in range(CODE_BITS))
    for y in range(height // 18):
        picture[y * width : y * width + len(row)] = row


pictures = {mount: grey(mount) for mount in MOUNTS}
paired = {"count": 0, "feeds": []}
pending = set()
watched = dict.fromkeys(MOUNTS, 0)
state = {"frozen": False}
"""True, or the one mount that is."""


def answer_shown(mount, at_s=None):
    pending.discard(mount)
    print("shown", mount, time.monotonic() if at_s is None else at_s, flush=True)


def on_configure(factory, media, mount):
    feeding = media.get_element().get_by_name("src")
    if feeding is None:
        return
    feed = {"count": 0, "alive": True}
    watched[mount] += 1

    def push():
        if not feed["alive"]:
            return False
        if state["frozen"] in (True, mount):
            return True
        late = MAIN_LATE if mount == "main" else 0
        count = paired["count"] - late if mount in ("main", "sub") else feed["count"]
        feed["count"] += 1
        clock = feeding.get_clock()
        now = clock.get_time() - feeding.get_base_time() if clock else count * Gst.SECOND // FPS
        now -= late * (1000 // FPS) * Gst.MSECOND
        if now < 0 or count < 0:
            return True
        picture = bytearray(pictures[mount])
        width, height = size_of(mount)
        row = (height - 2) * width
        picture[row : row + width] = bytes([(count * 40) % 256]) * width
        if mount in ("main", "sub"):
            numbered(picture, mount, count)
        buffer = Gst.Buffer.new_wrapped(bytes(picture))
        buffer.pts = now
        buffer.duration = Gst.SECOND // FPS
        pushed_s = time.monotonic()
        flow = feeding.emit("push-buffer", buffer)
        if mount in pending:
            answer_shown(mount, pushed_s)
        return flow in (Gst.FlowReturn.OK, Gst.FlowReturn.FLUSHING)

    def gone():
        feed["alive"] = False
        watched[mount] -= 1
        if not watched[mount] and mount in pending:  # the last viewer left between "show" and the next frame
            answer_shown(mount)
        return False

    # The signal comes from another thread, in which it could slip between obey()'s question and its answer.
    media.connect("unprepared", lambda _: GLib.idle_add(gone))
    if mount in ("main", "sub"):
        paired["feeds"].append(push)
    else:
        GLib.timeout_add(1000 // FPS, push)


def push_pair():
    """One frame of the scene, into both encoders."""
    paired["count"] += 1
    paired["feeds"] = [push for push in paired["feeds"] if push()]
    return True


def serve():
    server = GstRtspServer.RTSPServer()
    server.set_address(os.environ.get("BIND", "127.0.0.1"))
    server.set_service(PORT)
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST if AUTH == "DIGEST" else GstRtsp.RTSPAuthMethod.BASIC)
    auth.set_realm("streamd-test")
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "user")
    auth.add_basic(GstRtspServer.RTSPAuth.make_basic("user", "secret"), token)
    auth.add_digest("user", "secret", token)
    anonymous = GstRtspServer.RTSPToken()
    anonymous.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "anon")
    auth.set_default_token(anonymous)
    server.set_auth(auth)
    for mount, (encoding, roles) in MOUNTS.items():
        server.get_mount_points().add_factory("/" + mount, factory(mount, encoding, roles))
    for name, path in FILES.items():
        made = GstRtspServer.RTSPMediaFactory()
        made.set_launch(
            f'( filesrc location="{path}" ! qtdemux ! h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96 )'
        )
        permit(made, ("anon", "user"))
        server.get_mount_points().add_factory("/" + name, made)
    if SUB:
        GLib.timeout_add(1000 // FPS, push_pair)
    if server.attach(None) == 0:
        sys.exit(f"port {PORT} cannot be listened on")
    return server


def factory(mount, encoding, roles):
    made = GstRtspServer.RTSPMediaFactory()
    made.set_launch(
        encoding if mount == "audio" else source(mount) + "videoconvert ! video/x-raw,format=I420 ! " + encoding
    )
    made.set_shared(mount != "audio")
    made.set_latency(0)
    permit(made, roles)
    made.connect("media-configure", on_configure, mount)
    return made


def permit(made, roles):
    permissions = GstRtspServer.RTSPPermissions()  # filled before it is set: it is copied on write afterwards
    for role in ("anon", "user"):
        permissions.add_permission_for_role(role, GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, True)
        permissions.add_permission_for_role(role, GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, role in roles)
    made.set_permissions(permissions)


def obey(server, loop, words):
    if words[0] == "show":
        with open(words[2], "rb") as file:  # noqa: PTH123  # the system's Python
            data = file.read()
        if len(data) != len(pictures[words[1]]):
            print(f"error: {words[2]} has {len(data)} bytes, not {len(pictures[words[1]])}", flush=True)
            return
        pictures[words[1]] = data
        pending.add(words[1])
        if not watched[words[1]] or state["frozen"] in (True, words[1]):
            answer_shown(words[1])
        return
    if words[0] in ("freeze", "resume"):
        state["frozen"] = words[0] == "freeze" and (words[1] if len(words) > 1 else True)
    elif words[0] == "drop":
        server.client_filter(lambda s, c: GstRtspServer.RTSPFilterResult.REMOVE)
    elif words[0] == "quit":
        loop.quit()
    print("did", words[0], flush=True)


def main():
    server = serve()
    loop = GLib.MainLoop()
    for number in (signal.SIGINT, signal.SIGTERM):
        GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, number, loop.quit)

    def command(fd, condition):
        line = sys.stdin.readline()
        if not line:
            loop.quit()
            return False
        if line.split():
            obey(server, loop, line.split())
        return True

    GLib.io_add_watch(sys.stdin.fileno(), GLib.IO_IN | GLib.IO_HUP, command)
    print("READY", PORT, flush=True)
    loop.run()


main()
