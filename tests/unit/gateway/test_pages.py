"""The page's files."""

from pathlib import Path

from gatewayparts import Box, Client

from streamd.gateway.pages import routes


def test_only_files_of_the_folder_can_be_asked_for(tmp_path: Path) -> None:
    async def check(client: Client) -> None:
        for path in (
            "/static/../app.py",
            "/static/%2e%2e/app.py",
            "/static//etc/passwd",
            "/static/",
            "/static/none.js",
        ):
            assert (await client.get(path)).status == 404, path

    Box(tmp_path).run(check)


def test_each_file_has_a_route_and_the_page_has_its_addresses(tmp_path: Path) -> None:
    (tmp_path / "views").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html>")
    (tmp_path / "views" / "people.js").write_text("export {}")
    assert sorted(route.path for route in routes(tmp_path)) == ["/", "/camera", "/login", "/static/{path:.+}"]
