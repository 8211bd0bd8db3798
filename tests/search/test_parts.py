"""Processes that share the files of an index: what they leave, and its merge."""
import contextlib
import os
import random
import re
import shutil
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mmaction_centerclip.engine.launching import VARIABLES, join_processes
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search import VideoIndex
from mmaction_centerclip.search.folder_update import Added, FileEncoder
from mmaction_centerclip.search.index_file import lock_index
from mmaction_centerclip.search.parts import Part
from mmaction_centerclip.search.records import FileRecord
from mmaction_centerclip.search.store import IndexStore

from ..paths import TOOLS
from ..processes import free_port, kill, start_ranks
from .films import write_film

KILLS = 3


@pytest.fixture
def films(tmp_path):
    folder = tmp_path / 'films'
    for i in range(9):
        write_film(folder / 'abc'[i % 3] / f'{i}.mp4', [5 + i, 9])
    (folder / 'notes.txt').write_text('no video')
    return folder


@pytest.fixture
def index(inferencer, tmp_path):
    return VideoIndex(tmp_path / 'my.index', inferencer, window=1)


def rows_of(path):
    """All rows of an index in the order that they have there."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        return [db.execute(f'SELECT rowid, * FROM {table} ORDER BY rowid').fetchall()
                for table in ('files', 'segments')]


def known(path):
    """The files of an index and of its parts, as a list for each."""
    return [[file for file, in rows] for rows in (
        query(part, 'SELECT path FROM files') for part in path.parent.glob('my.index*')
        if re.fullmatch(r'my\.index(\.part-[\w-]+(?<!-journal))?', part.name))]


def query(path, words):
    with contextlib.closing(sqlite3.connect(path)) as db:
        try:
            return db.execute(words).fetchall()
        except sqlite3.Error:  # not made yet
            return []


def fill(index, *files, name='0-' + 32 * 'a', **facts):
    """Encode files into a part, as another process does."""
    part = Part(f'{index.store.path}.part-{name}', index.store)
    record = FileRecord(0, 0, index.model, index.model_name)
    FileEncoder(index.encoder, False, 1)(part, {str(file): replace(record, **dict(
        dict(size=file.stat().st_size, modified=file.stat().st_mtime_ns), **facts))
        for file in files}, Added())
    part.close()
    return Path(part.path)


@pytest.mark.slow
def test_several_processes_fill_the_index_that_one_does(
        films, index, inferencer, tiny_config, tiny_checkpoint, tmp_path):
    def run(count, launcher):
        ranks = start_ranks(
            count, TOOLS / 'search.py', 'index', films, '--index', index.store.path,
            '--config', tiny_config, '--checkpoint', tiny_checkpoint, '--window', 1,
            '--device', 'cpu', '--launcher', launcher, names=VARIABLES[launcher],
            log=tmp_path / launcher)
        for process in ranks:
            process.join()
        said = (tmp_path / launcher).read_text()
        assert not any(process.exitcode for process in ranks), said
        assert {path.name for path in tmp_path.glob('my.index*')} == {'my.index'}
        return said

    alone = VideoIndex(tmp_path / 'alone.index', inferencer, window=1)
    alone.add(films)
    said = run(4, 'pytorch')
    assert said.count('9 indexed, 0 unchanged, 0 removed, 1 unreadable') == 1
    assert said.count('unreadable: ') == 1
    assert rows_of(index.store.path) == rows_of(alone.store.path)
    (films / 'a' / '0.mp4').rename(films / 'moved.mp4')
    (films / 'a' / '3.mp4').unlink()
    write_film(films / 'new.mp4', [9])
    assert '1 indexed, 7 unchanged, 1 moved, 1 removed, 1 unreadable' in run(2, 'slurm')
    alone.add(films)
    assert rows_of(index.store.path) == rows_of(alone.store.path)


def kill_ranks(folder, path, config, checkpoint, kills, log):
    """Kill one random process of two to four at random moments; the others go on."""
    draw, killed = random.Random(7), 0
    while killed < kills:
        before = {*sum(known(path), [])}
        ranks = start_ranks(
            draw.randrange(2, 5), TOOLS / 'search.py', 'index', folder, '--index', path,
            '--config', config, '--checkpoint', checkpoint, '--window', 1,
            '--device', 'cpu', '--launcher', 'pytorch', log=log)
        target, victim = len(before) + draw.randrange(1, 9), draw.choice(ranks)
        while victim.is_alive() and sum(map(len, known(path))) < target:
            time.sleep(.002)
        time.sleep(draw.uniform(0, .05))
        is_early = victim.is_alive()
        kill(victim)
        killed += is_early
        for process in ranks:
            process.join()
        parts = known(path)
        print(is_early, ranks.index(victim), [process.exitcode for process in ranks],
              len(before), [*map(len, parts)])
        assert all(len(part) == len({*part}) for part in parts)  # nothing twice
        assert before <= {*sum(parts, [])}  # nothing lost
        if killed < kills and len({*sum(parts, [])}) > 30:  # from the start again
            for part in path.parent.glob('my.index*'):
                part.unlink()


@pytest.mark.slow
def test_a_killed_process_costs_its_share_only(
        films, index, inferencer, tiny_config, tiny_checkpoint, tmp_path):
    for i in range(30):
        shutil.copy(films / 'a' / '3.mp4', films / f'{i}.mp4')
    path = Path(index.store.path)
    kill_ranks(films, path, tiny_config, tiny_checkpoint, KILLS, tmp_path / 'log')
    done = {*sum(known(path), [])}
    index = VideoIndex(path, inferencer, window=1)
    added = index.add(films)
    assert done <= {*added.unchanged}
    assert len(done | {*added.indexed, *added.unreadable}) == 40
    assert {part.name for part in tmp_path.glob('my.index*')} == {'my.index'}
    alone = VideoIndex(tmp_path / 'alone.index', inferencer, window=1)
    alone.add(films)
    (paths, files, rows), (paths_, files_, rows_) = (
        one.store.load() for one in (index, alone))
    assert paths == paths_ and files.tolist() == files_.tolist()
    for name in ('start', 'end', 'vectors'):
        np.testing.assert_array_equal(getattr(rows, name), getattr(rows_, name))


def test_parts_of_an_earlier_run_are_merged_and_not_encoded_again(index, films):
    fill(index, films / 'a' / '0.mp4', films / 'b' / '1.mp4', name='7-' + 32 * 'a')
    fill(index, films / 'b' / '1.mp4', films / 'notes.txt', name='0-' + 32 * 'b')
    Path(f'{index.store.path}.part-1-{32 * "c"}.lock').touch()  # killed at once
    added = index.add(films)
    assert [*map(os.path.basename, added.unchanged)] == ['0.mp4', '1.mp4', 'notes.txt']
    assert len(added.indexed) == 7
    folder = films.parent
    assert [path.name for path in folder.glob('my.index*')] == ['my.index']


def test_a_part_that_is_filled_now_is_left(index, films):
    part = fill(index, films / 'a' / '0.mp4')
    with lock_index(str(part)):
        assert len(index.add(films).indexed) == 9
        assert part.exists()
    before = rows_of(index.store.path)
    assert not index.add(films).indexed and not part.exists()
    assert rows_of(index.store.path) == before


def test_a_part_does_not_replace_what_is_newer(index, films):
    film = films / 'a' / '0.mp4'
    fill(index, film)
    write_film(film, [30])
    index.add(films)
    fill(index, film, modified=1)
    before = rows_of(index.store.path)
    assert len(index.add(films).unchanged) == 10
    assert rows_of(index.store.path) == before


@pytest.mark.parametrize('damage, message', [
    ('UPDATE segments SET start = start + 0.1', 'damaged, the checksum of .*0.mp4'),
    ("UPDATE segments SET vector = x'00'", 'it is damaged'),
    ("UPDATE files SET size = 'x'", 'it is damaged'),
    ('CREATE TABLE more (x)', 'a database of something else'),
    ("UPDATE settings SET value = '7' WHERE name = 'window'", "with {'window': '7'"),
    ("UPDATE files SET model = 'abc'", 'of another model: .* settings abc, got'),
    (None, 'file is not a database')])
def test_a_part_that_is_damaged_or_of_another_model(damage, message, index, films):
    part = fill(index, films / 'a' / '0.mp4')
    if damage is None:
        part.write_bytes(b'x')
    else:
        with contextlib.closing(sqlite3.connect(part)) as db, db:
            db.execute(damage)
    with pytest.raises(InputError, match=message) as caught:
        index.add(films)
    assert str(part) in str(caught.value) and '\n' not in str(caught.value)
    assert str(caught.value).endswith('delete it, its files are encoded again')
    assert part.exists() and not Path(index.store.path).exists()


def test_reindex_takes_parts_of_another_model_and_encodes_anew(index, films):
    outside = films.parent / 'outside.txt'
    outside.touch()
    part = fill(index, films / 'a' / '0.mp4', outside, model='abc')
    own = fill(index, outside, name='mine')  # an index of a user's
    assert len(index.add(films, reindex=True).indexed) == 9
    assert not part.exists() and own.exists()
    assert all(str(films) in path for path in index.store.files())


def test_features_of_pairs_are_kept(index, films):
    part = fill(index, films / 'a' / '0.mp4')
    record, = IndexStore(part).files().values()
    segments = Part(str(part), index.store).segments(str(films / 'a' / '0.mp4'))
    features = [segments.vectors[[i, 0]] for i in range(len(segments.vectors))]
    Part(str(part), index.store).put(str(films / 'a' / '0.mp4'), record, replace(
        segments, features=features))
    index.add(films)
    for start, own in zip(segments.start, features):
        stored = index.store.features(str(films / 'a' / '0.mp4'), start)
        assert stored.tolist() == own.tolist()


@pytest.mark.parametrize('launcher, missing', [
    ('pytorch', 'RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR'),
    ('slurm', 'SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID, SLURM_JOB_NODELIST'),
    ('mpi', 'OMPI_COMM_WORLD_RANK, .*, MASTER_ADDR')])
def test_a_process_that_no_launcher_has_started(launcher, missing, monkeypatch):
    for name in ('MASTER_ADDR', 'SLURM_JOB_NODELIST', *sum(VARIABLES.values(), ())):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match=f'--launcher {launcher} .*; {missing} must'):
        join_processes(launcher)


def test_slurm_says_where_the_first_process_is(monkeypatch, tmp_path):
    scontrol = tmp_path / 'scontrol'
    scontrol.write_text('#!/bin/sh\n[ "$*" = "show hostnames n[1-2]" ] &&'
                        ' printf "127.0.0.1\\nother\\n"\n')
    scontrol.chmod(0o755)
    for name in ('MASTER_ADDR', *VARIABLES['pytorch']):
        monkeypatch.setenv(name, '')  # and as it was at the end
        monkeypatch.delenv(name)
    for name, value in dict(
            SLURM_PROCID='0', SLURM_NTASKS='1', SLURM_LOCALID='0',
            SLURM_JOB_NODELIST='n[1-2]', MASTER_PORT=str(free_port()),
            PATH=f'{tmp_path}:{os.environ["PATH"]}').items():
        monkeypatch.setenv(name, value)
    join_processes('slurm')
    try:
        assert os.environ['MASTER_ADDR'] == '127.0.0.1'
        assert torch.distributed.get_world_size() == 1
    finally:
        torch.distributed.destroy_process_group()
