"""Published files become annotations, with the published counts."""
import csv
import json
import pickle
import random
import re
import time

import pytest

from mmaction_centerclip.datasets import read_annotations, read_entries

from ..paths import SHARED
from ..processes import kill, start_tool

REAL = SHARED / 'annotations'
MSVD = {'train': 'a_0_9\nb_1_2\n', 'val': 'c_3_4\n', 'test': '-d_5_6'}
CAPTIONS = {'a_0_9': [['a', 'cat'], ['one', 'cat']], 'b_1_2': [['a', 'dog']],
            'c_3_4': [['rain']], '-d_5_6': [['snow', 'falls']]}
# In the published forms, a few of each.
FILES = {
    'msrvtt': {
        'MSRVTT_data.json': json.dumps(dict(
            videos=[dict(video_id='video1', split='train'),
                    dict(video_id='video9', split='test'),
                    dict(video_id='video8', split='test')],
            sentences=[dict(sen_id=i, video_id=v, caption=f'caption {i}') for i, v in
                       enumerate(('video8', 'video9', 'video1', 'video8'))])),
        'MSRVTT_train.9k.csv': 'video_id\nvideo8\nvideo1\n',
        'MSRVTT_train.7k.csv': 'video_id\nvideo1\n',
        'MSRVTT_JSFUSION_test.csv': 'key,vid_key,video_id,sentence\n'
                                    'ret0,msr9,video9,"one, ""two"""\n'},
    'msvd': {**{f'{split}_list.txt': names for split, names in MSVD.items()},
             'raw-captions.pkl': pickle.dumps(CAPTIONS, protocol=2)},
    'lsmdc': {'LSMDC16_annos_training.csv':
              'f_00.1\t1\t2\t1\t2\tSOMEONE smiles.\nf_b\t1\t2\t1\t2\tHe "runs".\n',
              'LSMDC16_challenge_1000_publictect.csv': 'g_h\t1\t2\t1\t2\tShe nods.\n'},
    'activitynet': {
        'train.json': json.dumps(dict(v_a=dict(
            duration=9, timestamps=[[4, 9], [0, 5]],
            sentences=[' Then he sits.', 'A man stands.']))),
        'val_1.json': json.dumps(dict(v_b=dict(
            duration=9, timestamps=[[0, 9]], sentences=['Rain.'])))},
    'didemo': {'train_data.json': json.dumps([
        dict(video='b.mov', description='camera pans left', times=[[0, 1]]),
        dict(video='a.avi', description='a dog runs. ', times=[[2, 2]]),
        dict(video='b.mov', description='a car drives by', times=[[4, 4]])])},
    'vatex': {'vatex_training_v1.0.json': json.dumps(
        [dict(videoID='x_000001_000011', enCap=['A man.', 'He runs.'], chCap=['人'])])}}
EXPECTED = {
    'msrvtt': {
        'train_9k': {'video8.mp4': ['caption 0', 'caption 3'],
                     'video1.mp4': ['caption 2']},
        'train_7k': {'video1.mp4': ['caption 2']},
        'test_JSFUSION': {'video9.mp4': ['one, "two"']},
        'train_full': {'video1.mp4': ['caption 2']},
        'test_full': {'video9.mp4': ['caption 1'],
                      'video8.mp4': ['caption 0', 'caption 3']}},
    'msvd': {'train': {'a_0_9.avi': ['a cat', 'one cat'], 'b_1_2.avi': ['a dog']},
             'val': {'c_3_4.avi': ['rain']}, 'test': {'-d_5_6.avi': ['snow falls']}},
    'lsmdc': {'train': {'f_00.1.avi': ['SOMEONE smiles.'], 'f_b.avi': ['He "runs".']},
              'test': {'g_h.avi': ['She nods.']}},
    'activitynet': {'train': {'v_a.mp4': ['A man stands. Then he sits.']},
                    'val_1': {'v_b.mp4': ['Rain.']}},
    'didemo': {'train': {'b.mov': ['camera pans left a car drives by'],
                         'a.avi': ['a dog runs.']}},
    'vatex': {'train': {'x_000001_000011.mp4': ['A man.', 'He runs.']}}}


@pytest.fixture
def publish(tmp_path):
    """Write the files of a data set, some of them changed; their folder."""

    def write(name, **changed):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        for file, content in {**FILES[name], **changed}.items():
            path = folder / file
            if content is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(content if isinstance(content, bytes)
                                 else content.encode())
        return folder

    return write


def content_of(folder):
    return {path.name: path.read_bytes() for path in folder.rglob('*')}


@pytest.mark.parametrize('name', FILES)
def test_annotations(name, publish, prepare, tmp_path):
    source, out = publish(name), tmp_path / 'out'
    if name == 'msrvtt':  # Without a video of its split validate.
        data = json.loads(FILES[name]['MSRVTT_data.json'])
        data['videos'].append(dict(video_id='video5', split='validate'))
        source = publish(name, **{'MSRVTT_data.json': json.dumps(data)})
    status, said = prepare(name, source, '--out', out, '--any-count')
    assert status == 0, said
    for file, captions in EXPECTED[name].items():
        written = read_annotations(str(out / f'{file}.json'))
        assert written == captions and [*written] == [*captions]
        content = json.loads((out / f'{file}.json').read_text())
        assert content['schema_version'] == 1
        assert content['split'] == file.split('_')[0]
    before = content_of(out)
    status, said = prepare(name, source, '--out', out, '--any-count')
    assert status == 0 and said.rstrip().endswith('Nothing to do.')
    assert content_of(out) == before


@pytest.mark.parametrize('name, options, expected', [
    ('didemo', ['--suffix', '.mp4'], ['b.mp4', 'a.mp4']),
    ('lsmdc', ['--by-film'], ['f/f_00.1.avi', 'f/f_b.avi']),
    ('vatex', ['--suffix', '.webm'], ['x_000001_000011.webm'])])
def test_names_of_files(name, options, expected, publish, prepare, tmp_path):
    status, said = prepare(name, publish(name), '--out', tmp_path / 'out',
                           '--any-count', *options)
    assert status == 0, said
    assert [*read_annotations(str(tmp_path / 'out/train.json'))] == expected


def test_parts_of_msrvtt_are_joined(publish, prepare, tmp_path):
    """Its first release has two files; a part of it makes what it can."""
    content = json.loads(FILES['msrvtt']['MSRVTT_data.json'])
    content['videos'].append(dict(video_id='video5', split='validate'))
    parts = {f'{name}_videodatainfo.json': json.dumps(dict(
        videos=[video for video in content['videos'] if video['split'] in splits],
        sentences=[sentence for sentence in content['sentences']
                   if (sentence['video_id'] == 'video1') == ('train' in splits)]))
        for name, splits in (('train_val', ['train', 'validate']), ('test', ['test']))}
    whole = {'MSRVTT_data.json': None}
    for changed, made in (
            ({'videodatainfo_2017.json': json.dumps(content)}, None),
            ({'videodatainfo_2017.json': None, **parts}, None),
            ({'test_videodatainfo.json': None}, ['train_7k', 'train_full'])):
        whole.update(changed)
        out = tmp_path / str(len(whole)) / str(made)
        source = publish('msrvtt', **whole)
        said = prepare('msrvtt', source, '--out', out, '--any-count')[1]
        made = made or [*EXPECTED['msrvtt']]
        for file in made:
            assert read_annotations(
                str(out / f'{file}.json')) == EXPECTED['msrvtt'][file], said
        if len(made) == 2:
            assert 'train_9k.json: lists 2 videos, not the published 9,000' in said
            assert said.count('there is no ') == 2, said
    source = publish('msrvtt', **{**whole, 'test_videodatainfo.json':
                                  FILES['msrvtt']['MSRVTT_data.json']})
    status, said = prepare('msrvtt', source, '--out', tmp_path / 'twice')
    assert status == 1 and 'videos[0]: video1 stands twice' in said


@pytest.mark.parametrize('name', ['MSR Video Description Corpus.csv',
                                  'video_corpus.csv', 'video_description.csv'])
def test_the_table_of_msvd(name, publish, prepare, tmp_path):
    titles = 'VideoID,Start,End,WorkerID,Source,AnnotationTime,Language,Description'
    rows = [f'{video.rpartition("_")[0].replace("_", ",")},{video.rpartition("_")[2]},'
            f'5,clean,9,English,"{" ".join(words)}\n"'
            for video, captions in CAPTIONS.items() for words in captions]
    rows += ['a,0,9,5,clean,9,German,eine Katze', 'a,0,9,5,clean,9,English,']
    source = publish('msvd', **{'raw-captions.pkl': None,
                                name: '\n'.join([titles, *rows])})
    status, said = prepare('msvd', source, '--out', tmp_path / 'out', '--any-count')
    assert status == 0 and 'dropped 1 English rows without a Description' in said, said
    for file, captions in EXPECTED['msvd'].items():
        assert read_annotations(str(tmp_path / f'out/{file}.json')) == captions


def test_clips_of_whole_videos_of_vatex(publish, prepare, tmp_path):
    clips = [dict(videoID=f'-x_y_{name}', enCap=[name])
             for name in ('000001_000011', '000020_000030')]
    source = publish('vatex', **{'vatex_training_v1.0.json': json.dumps(clips)})
    options = ['--out', tmp_path / 'out', '--any-count', '--whole-videos']
    status, said = prepare('vatex', source, *options)
    assert status == 0 and 'train.json: 2 videos, not the' in said, said
    entries = read_entries(str(tmp_path / 'out/train.json'))
    assert [(e.video, e.captions, e.start, e.end, e.id) for e in entries] == [
        ('-x_y.mp4', ['000001_000011'], 1, 11, '-x_y_000001_000011'),
        ('-x_y.mp4', ['000020_000030'], 20, 30, '-x_y_000020_000030')]
    source = publish('vatex', **{'vatex_training_v1.0.json': json.dumps(
        [dict(videoID='x', enCap=['a']), dict(videoID='x_1_2', enCap=['a'])])})
    status, said = prepare('vatex', source, *options)
    assert status == 1 and re.search(r'2 problems:\n.*: \[0\]: expected a videoID with '
                                     r"the start.*'x'\n.*\[1\]: .*'x_1_2'$", said), said


def test_all_video_descriptions(publish, prepare, tmp_path):
    lines = [f'{name} {" ".join(words)}\n' for name, captions in CAPTIONS.items()
             for words in captions]
    text = 'Descriptions of YouTube clips\n\nName and words:\n' + ''.join(lines)
    source = publish('msvd', **{'raw-captions.pkl': None,
                                'AllVideoDescriptions.txt': text})
    status, said = prepare('msvd', source, '--out', tmp_path / 'out', '--any-count')
    assert status == 0, said
    for file, captions in EXPECTED['msvd'].items():
        assert read_annotations(str(tmp_path / f'out/{file}.json')) == captions


@pytest.mark.parametrize('name, file, content, message', [
    ('lsmdc', 'LSMDC16_annos_training.csv', 'a\t1\t2\t1\t2\tb\na,b\n',
     'training.csv, line 2: expected 6 fields separated by tabs, got 1'),
    ('lsmdc', 'LSMDC16_annos_training.csv', b'a\t1\t2\t1\t2\tcaf\xe9\n',
     'training.csv, line 1: not text in utf-8'),
    ('activitynet', 'train.json', '[1]',
     'train.json must map videos to their timestamps'),
    ('activitynet', 'train.json', '{\n"a":\n', 'train.json is not JSON: .*line 3'),
    ('activitynet', 'train.json', '{"v_z": {"timestamps": [], "sentences": ["a"]}}',
     'train.json: v_z: expected a sentence a timestamp, got 1 and 0'),
    ('didemo', 'train_data.json', '{"a": 1}', 'must be a list of annotations'),
    ('vatex', 'vatex_training_v1.0.json', '[{"videoID": "x", "enCap": "a"}]',
     'captions must be a list of texts'),
    ('msrvtt', 'MSRVTT_data.json', '[]', 'must have videos with a video_id'),
    ('msrvtt', 'MSRVTT_data.json', '{"videos": [], "sentences": [{"video_id": "v", '
     '"caption": "a"}]}', r'sentences\[0\]: expected a caption of one of the videos'),
    ('msrvtt', 'MSRVTT_train.9k.csv', 'video_id\nvideo1\nvideo8\nvideo1\n',
     '2 problems:\n.*9k.csv, line 2: video1 stands twice\n.*line 4: video1 st'),
    ('msrvtt', 'MSRVTT_train.9k.csv', 'video_id\nvideo77\n',
     'video77 has no caption in .*MSRVTT_data.json'),
    ('msrvtt', 'MSRVTT_JSFUSION_test.csv', 'key,video_id,sentence\nret0,v,a,b\n',
     'test.csv, line 2: expected 3 cells, got 4'),
    ('msrvtt', 'MSRVTT_JSFUSION_test.csv', 'a,b\n', 'csv, line 1: expected titles'),
    ('msvd', 'val_list.txt', 'c_3_4\nno clip\n', 'val_list.txt, line 2: expected the'),
    ('msvd', 'val_list.txt', 'c_3_4\ne_1_2\n', 'val_list.txt, line 2: e_1_2 has no'),
])
def test_a_malformed_file_names_its_line(name, file, content, message, publish, prepare,
                                         tmp_path):
    source = publish(name, **{file: content})
    status, said = prepare(name, source, '--out', tmp_path / 'out', '--any-count')
    assert status == 1 and re.search(f'^error: .*{message}', said, re.M), said
    assert said.count('error:') == 1


JSFUSION = 'MSRVTT_JSFUSION_test.csv'


@pytest.mark.parametrize('name, file, content, places', [
    ('lsmdc', 'LSMDC16_annos_training.csv', 'a\nb\nc\t1\t2\t1\t2\td\ne\n',
     ['line 1', 'line 2', 'line 4']),
    ('activitynet', 'train.json', json.dumps(dict(v_a=3, v_b=dict(
        timestamps=[], sentences=['a']), v_c=dict(timestamps=[3], sentences=['a']))),
     ['v_a', 'v_b', 'v_c']),
    ('didemo', 'train_data.json', json.dumps([
        dict(video='a', description=3), dict(video='a', description='a'), []]),
     [r'\[0\]', r'\[2\]']),
    ('vatex', 'vatex_training_v1.0.json', json.dumps([
        dict(videoID='a', enCap='b'), dict(videoID='b')]), [r'\[0\]', r'\[1\]']),
    ('msrvtt', 'MSRVTT_data.json', json.dumps(dict(
        videos=[dict(video_id='a'), dict(video_id='b', split='c')],
        sentences=[dict(video_id='d', caption='e'), dict(video_id='b')])),
     [r'videos\[0\]', r'sentences\[0\]', r'sentences\[1\]']),
    ('msrvtt', 'MSRVTT_train.9k.csv', 'video_id\na\nb\n', ['a has no', 'b has no']),
    ('msrvtt', JSFUSION, 'key,video_id,sentence\na,b\nc,d,e\nf,g,h,i\n',
     ['line 2', 'line 4']),
    ('msvd', 'val_list.txt', 'a\nc_3_4\nc_3_4\n', ['line 1', 'line 3']),
    ('msvd', 'val_list.txt', 'e_3_4\nf_3_4\n', ['line 1: .*no', 'line 2: .*no']),
    ('msvd', 'raw-captions.pkl', pickle.dumps({'a_0_9': 'a cat', 'b_1_2': [3]}),
     ["'a_0_9'", "'b_1_2'"]),
    ('msvd', 'AllVideoDescriptions.txt', 'a_0_9 a cat\nb a dog\nc\n',
     ['line 2', 'line 3']),
    ('msvd', 'video_corpus.csv', 'VideoID,Start,End,Language,Description\n'
     'a,,9,English,b\nb,1.5,2,English,c\nd\n', ['line 4', 'line 2', 'line 3'])])
def test_all_problems_of_a_file_are_told_at_once(name, file, content, places, publish,
                                                 prepare, tmp_path):
    changed = {file: content}
    if name == 'msvd' and file[0] in 'Av':
        changed['raw-captions.pkl'] = FILES[name]['raw-captions.pkl']
        if not file.startswith('val'):
            changed['raw-captions.pkl'] = None
    said = prepare(name, publish(name, **changed), '--out', tmp_path / 'out',
                   '--any-count')[1].splitlines()
    first = said.index(f'error: {len(places)} problems:')
    assert len(said) == first + 1 + len(places), said
    for line, place in zip(said[first + 1:], places):
        assert re.match(fr'  .*{file}[:,] .*{place}', line), line


@pytest.mark.parametrize('name', FILES)
def test_other_counts_than_published_are_refused(name, publish, prepare, tmp_path):
    status, said = prepare(name, publish(name), '--out', tmp_path / 'out')
    if name == 'didemo':  # Whose counts we have from no source.
        assert status == 0
        return
    assert status == 1 and re.search('error: .* are published; .* is cut off', said)


def test_files_of_other_content_are_left_alone(publish, prepare, tmp_path):
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'train.json').write_text('{"mine.mp4": ["a caption"]}')
    status, said = prepare('vatex', publish('vatex'), '--out', out, '--any-count')
    assert status == 1 and 'train.json exists already with other content' in said
    assert content_of(out) == {'train.json': b'{"mine.mp4": ["a caption"]}'}


COUNTS = dict(
    msrvtt=dict(test_JSFUSION=1000, train_9k=9000, train_7k=7010),
    lsmdc=dict(test=1000), activitynet=dict(train=10009, val_1=4917),
    msvd=dict(train=1200, val=100, test=670))


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason='no real annotations beside the checkout')
@pytest.mark.parametrize('name', COUNTS)
def test_the_real_lists(name, prepare, tmp_path):
    """The captions that are not there are made up; the lists are real."""
    source = tmp_path / name
    source.mkdir()
    for path in (REAL / name).iterdir():
        (source / path.name).symlink_to(path)
    if name == 'msrvtt':
        ids = [row['video_id'] for path in source.glob('MSRVTT_train.*.csv')
               for row in csv.DictReader(path.open())]
        ids = [*dict.fromkeys(ids), 'video_of_validation', 'video_of_test']
        (source / 'MSRVTT_data.json').write_text(json.dumps(dict(
            videos=[dict(video_id=name, split='validate' if 'valid' in name else 'test')
                    for name in ids],
            sentences=[dict(video_id=name, caption='a') for name in ids])))
    if name == 'msvd':
        ids = [line for path in source.glob('*.txt')
               for line in path.read_text().split()]
        (source / 'raw-captions.pkl').write_bytes(
            pickle.dumps({name: [['a', 'caption']] for name in ids}))
    said = prepare(name, source, '--out', tmp_path / 'out')[1]
    for file, count in COUNTS[name].items():
        assert f'{file}.json: {count:,} videos as published' in said, said
        assert len(read_entries(str(tmp_path / f'out/{file}.json'))) == count


class Hostile:
    """Writes a file where it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, 'w')


@pytest.mark.parametrize('protocol', [0, 2, 4, 5])
@pytest.mark.parametrize('wrap', [
    lambda hostile: hostile, lambda hostile: {'a_0_9': [['a', hostile]]},
    lambda hostile: {**CAPTIONS, 'z_1_2': hostile}])
def test_a_hostile_pickle_executes_nothing(wrap, protocol, publish, prepare, tmp_path):
    proof = tmp_path / 'proof'
    content = pickle.dumps(wrap(Hostile(proof)), protocol)
    pickle.loads(content)
    assert proof.exists()  # It is hostile.
    proof.unlink()
    source = publish('msvd', **{'raw-captions.pkl': content})
    status, said = prepare('msvd', source, '--out', tmp_path / 'out', '--any-count')
    assert status == 1 and not proof.exists()
    assert said.count('error:') == 1
    assert 'raw-captions.pkl is refused: it asks for' in said
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('content, message', [
    (pickle.dumps(CAPTIONS)[:40], 'is not a pickle of captions'),
    (b'', 'is not a pickle'),
    (pickle.dumps([1]), 'must map clips to lists of captions, it holds a list'),
    (pickle.dumps({'a_0_9': 'a cat'}), "'a_0_9' must have a list of captions"),
    (b'(lp0\ng0\na.', 'it holds a list'), (b'cos\nsystem\n.', 'it asks for os.system'),
    (b"(S'x'\nios\nsystem\n.", 'it asks for os.system')])
def test_damaged_pickles(content, message, publish, prepare, tmp_path):
    source = publish('msvd', **{'raw-captions.pkl': content})
    status, said = prepare('msvd', source, '--out', tmp_path / 'out', '--any-count')
    assert status == 1 and re.search(f'error: .*{message}', said), said


@pytest.mark.slow
def test_killed_at_any_moment_it_resumes(publish, prepare, tmp_path):
    """All that is there after a kill is whole, and a second run does the rest."""
    videos = {f'v_{i}': dict(timestamps=[[0, 1]] * 20, sentences=['some words'] * 20)
              for i in range(5000)}
    source = publish('activitynet', **{
        f'{name}.json': json.dumps(videos) for name in ('train', 'val_1')})
    prepare('activitynet', source, '--any-count', '--out', tmp_path / 'whole')
    whole = content_of(tmp_path / 'whole')
    assert set(whole) == {'train.json', 'val_1.json'}
    rng = random.Random(0)
    for number in range(2):
        out = tmp_path / f'out{number}'
        process = start_tool('data/activitynet/prepare_activitynet.py', source,
                             '--any-count', '--out', out)
        while not out.exists() and process.is_alive():
            time.sleep(.001)  # It is about to write.
        time.sleep(rng.uniform(0, .15))
        kill(process)
        for name, content in content_of(out).items():
            assert name.endswith('.partial') or content == whole[name]
        status, said = prepare('activitynet', source, '--any-count', '--out', out)
        found = {name: content for name, content in content_of(out).items()
                 if not name.endswith('.partial')}  # which a kill leaves
        assert status == 0 and found == whole, said
