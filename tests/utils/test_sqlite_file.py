import multiprocessing
import pickle
import sqlite3
import threading

import pytest

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.sqlite_file import SQLiteFile

SCHEMA = ('CREATE TABLE numbers (id INTEGER PRIMARY KEY AUTOINCREMENT, n INTEGER)', )


def open_file(path, **options):
    return SQLiteFile(path, 'a list of numbers', 7, SCHEMA,
                      **{'make': (), **options})


def count(file):
    return file.rows('SELECT count(*) FROM numbers')[0][0]


def add(file, number=1):
    with file.transaction() as connection:
        connection.execute('INSERT INTO numbers (n) VALUES (?)', (number, ))


@pytest.mark.parametrize('journal', ['WAL', 'DELETE'])
def test_threads_and_processes_share_it(tmp_path, journal):
    file = open_file(tmp_path / 'a.db', pragmas=[f'journal_mode = {journal}'])
    add(file)
    others = [threading.Thread(target=add, args=(file, )),
              multiprocessing.get_context('fork').Process(target=add, args=(file, ))]
    for other in others:
        other.start()
        other.join()
    add(pickle.loads(pickle.dumps(file)))
    assert count(file) == 4
    size = file.size()
    file.close()
    assert size == (tmp_path / 'a.db').stat().st_size
    assert count(open_file(tmp_path / 'a.db', make=None, writable=False)) == 4


def test_a_transaction_is_whole_or_not_at_all(tmp_path):
    file = open_file(tmp_path / 'a.db', make=[(
        'INSERT INTO numbers (n) VALUES (?)', (5, ))])
    for error in (KeyError, KeyboardInterrupt):
        with pytest.raises(error), file.transaction() as connection:
            connection.execute('INSERT INTO numbers (n) VALUES (6)')
            raise error
    with pytest.raises(InputError, match='a.db .* no such table'):
        with file.transaction() as connection:
            connection.execute('INSERT INTO numbers (n) VALUES (6)')
            connection.execute('INSERT INTO others VALUES (6)')
    assert file.rows('SELECT n FROM numbers') == [(5, )]


@pytest.mark.parametrize('content', [b'text', b'SQLite format 3\0' + bytes(4000),
                                     pickle.dumps(print), bytes(20) + b'a' * 999])
def test_another_file_is_one_line_and_stays(tmp_path, content):
    (tmp_path / 'a.db').write_bytes(content)
    with pytest.raises(InputError, match='a.db cannot be used as a list of numbers: '
                       'it is damaged or something else') as error:
        open_file(tmp_path / 'a.db')
    assert '\n' not in str(error.value)
    assert (tmp_path / 'a.db').read_bytes() == content


@pytest.mark.parametrize('statement, said', [
    ('CREATE TABLE more (x)', 'something else'),
    ('CREATE TRIGGER sqliteXspy AFTER INSERT ON numbers BEGIN SELECT 1; END',
     'something else'),
    ('PRAGMA application_id = 8', 'something else'),
    ('PRAGMA user_version = 2', 'of version 2, this package reads version 0')])
def test_another_schema_is_refused(tmp_path, statement, said):
    add(open_file(tmp_path / 'a.db'))
    with sqlite3.connect(tmp_path / 'a.db') as connection:
        connection.execute(statement)
    connection.close()
    with pytest.raises(InputError, match=said):
        open_file(tmp_path / 'a.db')


def test_nothing_is_made_where_it_must_exist(tmp_path):
    with pytest.raises(InputError, match='a.db: there is no such file'):
        open_file(tmp_path / 'a.db', make=None)
    assert not list(tmp_path.iterdir())


def test_a_full_file_is_an_error_and_keeps_what_it_had(tmp_path):
    file = open_file(tmp_path / 'a.db')
    add(file)
    file.rows('PRAGMA max_page_count = 4')
    with pytest.raises(InputError, match='a.db cannot .*: database or disk is full'):
        with file.transaction() as connection:
            connection.execute('INSERT INTO numbers (n) VALUES (?)', ('a' * 99999, ))
    assert count(file) == 1
