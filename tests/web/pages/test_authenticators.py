"""The page of authenticators: a secret that is typed or stands in a picture, its code for ten seconds, and whom it answers for."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

from tests.web.desk import Desk, at_desk
from tests.web.pages.visitor import Visitor

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
QR = 'reading QR codes needs the extra: pip install ".[qr]"'


def test_an_authenticator_from_its_first_to_its_last_click(tmp_path: Path) -> None:
    """Added, its code shown, bound, removed."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        assert (await visitor.post("/authenticators/add", name="shop", secret=SECRET, identifier="")).status_code == 303
        page = (await visitor.get("/authenticators")).text
        assert "shop" in page
        assert SECRET not in page
        assert re.search(r"data-secret>\d{6}<", (await visitor.post("/authenticators/code", name="shop", part=True)).text)
        assert (await visitor.post("/authenticators/bind", name="shop", identifier="ann@corp.com")).status_code == 303
        assert (await visitor.post("/authenticators/remove", name="shop")).status_code == 303
        assert (await visitor.post("/authenticators/remove", name="shop")).status_code == 404

    at_desk(tmp_path, scene)


def test_a_mistake_stands_beside_its_field_and_what_was_typed_stays(tmp_path: Path) -> None:
    """But for the secret, which is not sent back; a wrong binding is told in the line of its authenticator."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        for secret, status in (("not base32!", 409), ("", 400)):
            answer = await visitor.post("/authenticators/add", name="shop", secret=secret, identifier="ann@corp.com")
            assert answer.status_code == status
            assert 'value="shop"' in answer.text
            assert 'value="ann@corp.com"' in answer.text
            assert "not base32!" not in answer.text
            assert re.search(r'name="secret"[^>]*>.*?class="wrong"', answer.text, re.DOTALL)
        nameless = await visitor.post("/authenticators/add", name="", secret=SECRET, identifier="")
        assert nameless.status_code == 400
        assert SECRET not in nameless.text
        assert re.search(r'name="name"[^>]*data-focus>.*?class="wrong"', nameless.text, re.DOTALL)
        await visitor.post("/authenticators/add", name="shop", secret=SECRET, identifier="")
        again = await visitor.post("/authenticators/add", name="shop", secret=SECRET, identifier="")
        assert again.status_code == 409
        assert re.search(r'name="name"[^>]*data-focus>.*?class="wrong"', again.text, re.DOTALL)
        bound = await visitor.post("/authenticators/bind", name="shop", identifier="x" * 2_000)
        assert bound.status_code == 400
        assert 'class="wrong"' in bound.text
        assert "x" * 2_000 in bound.text

    at_desk(tmp_path, scene)


def picture(text: str, form: str = "PNG") -> bytes:
    """A QR code as an image file."""
    zxingcpp = pytest.importorskip("zxingcpp", reason=QR)
    from PIL import Image

    barcode = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode)
    stream = io.BytesIO()
    Image.fromarray(zxingcpp.write_barcode_to_image(barcode, scale=6)).convert("L").save(stream, form)
    return stream.getvalue()


def test_a_picture_of_the_qr_code_is_enough(tmp_path: Path) -> None:
    """What stands in it is stored as if it was typed; nothing of it is on a page, in a log or in a file."""
    otpauth = f"otpauth://totp/Acme:ann?secret={SECRET}&issuer=Acme&digits=8"

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        for number, form in enumerate(("PNG", "JPEG", "WEBP")):
            files = {"picture": ("qr", picture(otpauth, form))}
            answer = await visitor.upload("/authenticators/add", files, name=f"shop{number}", identifier="", secret="")
            assert answer.status_code == 303, answer.text
        page = (await visitor.get("/authenticators")).text
        assert page.count("Acme") == 3
        assert SECRET not in page
        code = await visitor.post("/authenticators/code", name="shop0", part=True)
        assert re.search(r"data-secret>\d{8}<", code.text)

    at_desk(tmp_path, scene)


def test_a_picture_that_holds_no_secret_is_told_beside_its_field(tmp_path: Path) -> None:
    """No image, no code in it, two codes, a bomb, a code that is no authenticator's, both a picture and a secret; the name stays."""
    zxingcpp = pytest.importorskip("zxingcpp", reason=QR)
    from PIL import Image

    assert zxingcpp
    blank, bomb, two = io.BytesIO(), io.BytesIO(), io.BytesIO()
    Image.new("L", (100, 100), 255).save(blank, "PNG")
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    codes = [Image.open(io.BytesIO(picture(f"otpauth://totp/a{number}?secret={SECRET}"))) for number in range(2)]
    pair = Image.new("L", (sum(one.width for one in codes), codes[0].height), 255)
    for number, one in enumerate(codes):
        pair.paste(one, (number * codes[0].width, 0))
    pair.save(two, "PNG")
    wrong = {
        "not an image": (b"not an image", ""),
        "no QR code": (blank.getvalue(), ""),
        "2 QR codes": (two.getvalue(), ""),
        "larger than": (bomb.getvalue(), ""),
        "Base32": (picture("https://shop.example/"), ""),
        "not both": (picture("x"), SECRET),
    }

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        for what, (content, secret) in wrong.items():
            files = {"picture": ("qr.png", content)}
            answer = await visitor.upload("/authenticators/add", files, name="shop", identifier="", secret=secret)
            assert answer.status_code in (400, 409), what
            found = re.search(r'name="picture".*?class="wrong">([^<]*)<', answer.text, re.DOTALL)
            assert found is not None, what
            assert what in found[1], (what, found[1])
            assert 'value="shop"' in answer.text
            assert SECRET not in answer.text
        assert "Acme" not in (await visitor.get("/authenticators")).text

    at_desk(tmp_path, scene)


def test_a_form_with_a_file_is_taken_where_one_belongs_and_bounded(tmp_path: Path) -> None:
    """Elsewhere it is no form; too many octets, two files and a broken body are refused; the token of the form is wanted as ever."""

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        small = {"picture": ("a", b"x")}
        assert (await visitor.upload("/senders/add", small, sender="x.example")).status_code == 415
        large = {"picture": ("a", b"x" * 15_000_000)}
        assert (await visitor.upload("/authenticators/add", large, name="a")).status_code == 413
        two = {"picture": ("a", b"x"), "other": ("b", b"y")}
        assert (await visitor.upload("/authenticators/add", two, name="a")).status_code == 400
        headers = {"Origin": visitor.origin, "Content-Type": "multipart/form-data; boundary=x"}
        broken = await visitor.client.post("/authenticators/add", content=b"--x\r\nnonsense", headers=headers)
        assert broken.status_code in (400, 403)
        foreign = await visitor.client.post(
            "/authenticators/add", data={"csrf": "0" * 64, "name": "a"}, files=small, headers={"Origin": visitor.origin}
        )
        assert foreign.status_code == 403

    at_desk(tmp_path, scene)


def test_without_the_reader_the_page_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no field for a picture; a secret can be typed as ever."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    async def scene(desk: Desk) -> None:
        visitor = Visitor(desk)
        await visitor.log_in()
        page = (await visitor.get("/authenticators")).text
        assert 'name="picture"' not in page
        assert "[qr]" in page
        assert (await visitor.post("/authenticators/add", name="shop", secret=SECRET, identifier="")).status_code == 303

    at_desk(tmp_path, scene)
