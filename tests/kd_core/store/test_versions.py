import subprocess

import torch

from kd_core.store.versions import commit_of, is_dirty, versions


def test_the_commit_of_a_checkout_is_found_loose_packed_and_detached(tmp_path):
    def git(*arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert commit_of(tmp_path) == ""
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    commit = git("rev-parse", "HEAD")[:12]
    assert commit_of(tmp_path) == commit
    git("pack-refs", "--all")
    assert commit_of(tmp_path) == commit
    git("checkout", "-q", "--detach")
    assert commit_of(tmp_path) == commit


def test_versions_name_python_and_torch():
    assert versions()["torch"] == torch.__version__
    assert versions()["python"].startswith("3.")


def test_a_checkout_is_dirty_while_a_file_differs_from_its_commit(tmp_path):
    assert not is_dirty(tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    assert not is_dirty(tmp_path)
    (tmp_path / "new.py").write_text("")
    assert is_dirty(tmp_path)
    (tmp_path / ".gitignore").write_text("*")
    assert not is_dirty(tmp_path)
