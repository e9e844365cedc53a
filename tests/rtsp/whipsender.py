"""A WHIP client of GStreamer: shows one raw picture until it is killed. For the system's Python, which has gi.

usage: whipsender.py URL CSRF PICTURE.i420 WIDTH HEIGHT

Prints the status of the answer, and then each change of the connection's state.
"""

import sys
import urllib.error
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

FPS = 15


def main() -> None:
    url, csrf, path, width, height = sys.argv[1:]
    Gst.init(None)
    size = int(width) * int(height) * 3 // 2
    raw = f"video/x-raw,format=I420,width={width},height={height},framerate={FPS}/1"
    encoded = "video/x-h264,profile=constrained-baseline,stream-format=byte-stream"
    # Said beforehand: on a slow machine the offer is made before the encoder has told its profile.
    form = "packetization-mode=(string)1,profile-level-id=(string)42e01f"
    rtp = f"application/x-rtp,media=video,encoding-name=H264,payload=96,{form}"
    pipeline = Gst.parse_launch(
        f"appsrc name=source is-live=true do-timestamp=true format=time caps={raw} ! "
        f"x264enc tune=zerolatency speed-preset=ultrafast key-int-max={FPS} ! {encoded} ! "
        f"rtph264pay config-interval=-1 aggregate-mode=zero-latency ! {rtp} ! "
        "webrtcbin name=peer bundle-policy=max-bundle"
    )
    with open(path, "rb") as file:  # noqa: PTH123
        picture = file.read(size)
    source, peer = pipeline.get_by_name("source"), pipeline.get_by_name("peer")

    def feed() -> bool:
        source.emit("push-buffer", Gst.Buffer.new_wrapped(picture))
        return True

    def offered(promise: Gst.Promise) -> None:
        reply = promise.get_reply()  # held: the offer lies in it
        peer.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())

    def gathered(element: Gst.Element, _: object) -> None:
        if peer.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            GLib.idle_add(post)

    def post() -> bool:
        sdp = peer.get_property("local-description").sdp.as_text()
        headers = {"Content-Type": "application/sdp", "X-CSRF-Token": csrf}
        try:
            with urllib.request.urlopen(urllib.request.Request(url, sdp.encode(), headers), timeout=10) as answer:
                print(answer.status, flush=True)
                _, message = GstSdp.SDPMessage.new()
                GstSdp.sdp_message_parse_buffer(answer.read(), message)
        except urllib.error.HTTPError as error:
            print(error.code, error.read().decode(), flush=True)
            return False
        described = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        peer.emit("set-remote-description", described, Gst.Promise.new())
        return False

    peer.connect("notify::ice-gathering-state", gathered)
    peer.connect("notify::connection-state", lambda *_: print(peer.get_property("connection-state"), flush=True))
    peer.connect(
        "on-negotiation-needed",
        lambda _: peer.emit("create-offer", None, Gst.Promise.new_with_change_func(lambda p, *_: offered(p))),
    )
    GLib.timeout_add(1000 // FPS, feed)
    pipeline.set_state(Gst.State.PLAYING)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
