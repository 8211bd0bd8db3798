import pytest
import torch
from mmaction.registry import MODELS
from torch.nn import functional as F

from mmaction_centerclip.errors import InputError
from mmaction_centerclip.evaluation import (
    RetrievalFeatures,
    dual_softmax,
    evaluate_features,
    first_captions,
    load_features,
    qb_norm,
    relevance_metrics,
    retrieval_metrics,
    save_features,
)
from mmaction_centerclip.models import TextFeatures

COUNTS = torch.tensor([2, 1, 3, 1, 2, 4])


def features(seed=0, **options):
    torch.manual_seed(seed)
    video_of_text = torch.arange(6).repeat_interleave(COUNTS)
    video = F.normalize(torch.randn(6, 8), dim=1)
    text = F.normalize(video[video_of_text] + torch.randn(13, 8), dim=1)
    fields = dict(
        video=dict(video=video), text=dict(text=text), video_of_text=video_of_text,
        filenames=[f'{i}.mp4' for i in range(6)],
        captions=[f'{i} {j}' for i, c in enumerate(COUNTS) for j in range(c)])
    return RetrievalFeatures(**dict(fields, **options))


def matrix_of(f):
    return f.text['text'] @ f.video['video'].T


def test_plain_and_more_metrics():
    f = features()
    got = evaluate_features(
        f, topk=(1, 5, 10, 50), more_metrics=['gmean', 'Rsum', 'mAP', 'NDCG'])
    expected = retrieval_metrics(matrix_of(f), f.video_of_text, (1, 5, 10, 50))
    expected.update(relevance_metrics(matrix_of(f), f.video_of_text))
    recalls = [expected[f'{d}/R{k}'] for d in ('t2v', 'v2t')
               for k in (1, 5, 10)]
    expected['Rsum'] = sum(recalls)
    for direction, values in (('t2v', recalls[:3]), ('v2t', recalls[3:])):
        expected[f'{direction}/gmean'] = torch.tensor(
            values).double().prod().item()**(1 / 3)
    assert got == pytest.approx(expected)
    assert evaluate_features(f, more_metrics=['mAP']).keys() == {
        *evaluate_features(f), 't2v/mAP', 'v2t/mAP'}
    got = evaluate_features(
        f._replace(similarity=torch.zeros(13, 6)), more_metrics=['gmean', 'Rsum'])
    assert got['t2v/gmean'] == pytest.approx(
        (got['t2v/R1'] * got['t2v/R5'] * 100)**(1 / 3))
    assert got['Rsum'] == pytest.approx(2 * (100 / 6 + 500 / 6 + 100))
    few = evaluate_features(f, topk=(2, ), more_metrics=['Rsum'])
    assert few['Rsum'] == pytest.approx(expected['Rsum']) and 't2v/R10' not in few


def test_rerankings_have_names_of_their_own(tmp_path):
    f, bank = features(), features(seed=1)
    path = str(tmp_path / 'bank.pth')
    save_features(bank, path)
    tables = []
    got = evaluate_features(f, None, tables.append, more_metrics=[
        'Rsum', 'NDCG'], rerank=[
        dict(type='dual_softmax', temperature=20.),
        dict(type='qb_norm', bank=path, beta=5.)])
    plain = evaluate_features(f, more_metrics=['Rsum', 'NDCG'])
    assert {k: v for k, v in got.items() if k in plain} == plain
    matrix, video_of_text = matrix_of(f), f.video_of_text
    rows = dict(
        dual_softmax=dual_softmax(matrix, 20.),
        qb_norm=dict(
            t2v=qb_norm(matrix, bank.text['text'] @ f.video['video'].T, 5.),
            v2t=qb_norm(matrix.T, bank.video['video'] @ f.text['text'].T, 5.).T))
    for name, directions in rows.items():
        for direction, similarity in directions.items():
            expected = retrieval_metrics(similarity, video_of_text)
            expected.update(relevance_metrics(similarity, video_of_text))
            for key in (f'{direction}/{m}' for m in ('R1', 'MnR', 'NDCG')):
                assert got[f'{name}/{key}'] == pytest.approx(expected[key])
    protocol, *table = tables.pop().splitlines()
    assert 'NDCG, video-to-text: each video ranks all single' in protocol
    assert [line.split()[0] for line in table[1:]] == [
        'plain', 'dual_softmax', 'qb_norm']
    assert len({len(line) for line in table}) == 1 and not tables
    assert table[0].count('Rsum') == 1 and ' - ' not in '\n'.join(table)


def test_the_first_caption_of_each_video():
    f = first_captions(features())
    assert f.captions == [f'{i} 0' for i in range(6)]
    assert f.video_of_text.tolist() == list(range(6))
    whole = features()
    picked = matrix_of(whole)[whole.video_of_text.diff(
        prepend=torch.tensor([-1])) > 0]
    assert evaluate_features(f) == pytest.approx(
        retrieval_metrics(picked, torch.arange(6)))


def test_a_file_keeps_everything(tmp_path):
    path = str(tmp_path / 'deep' / 'features.pth')
    f = features(paragraph=True, similarity=torch.rand(13, 6))
    save_features(f, path)
    again = load_features(path)
    assert again.paragraph and again.captions == f.captions
    assert torch.equal(again.similarity, f.similarity)
    assert torch.equal(again.text['text'], f.text['text'])
    with pytest.raises(InputError, match='exists already'):
        save_features(f, path)


@pytest.mark.parametrize('content', [
    None, b'', b'garbage', dict(a=1),
    dict(format='mmaction_centerclip.features.v1', a=1)])
def test_another_file_is_named(tmp_path, content):
    path = tmp_path / 'x.pth'
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(InputError, match='x.pth'):
        load_features(str(path))
    with pytest.raises(InputError, match="got 'x.pkl'"):
        save_features(features(), 'x.pkl')


@pytest.mark.parametrize('options, message', [
    (dict(more_metrics=['map']), "more_metrics must be .*'mAP'.* got 'map'"),
    (dict(more_metrics='mAP'), "more_metrics must be a list .*, got 'mAP'"),
    (dict(rerank=['dual']), "'dual_softmax', 'qb_norm'.*, got 'dual'"),
    (dict(rerank=[5]), 'rerank must be a list .*, got .5.'),
    (dict(rerank=[dict(type='os.system', command='true')]), "got 'os.system'"),
    (dict(rerank=[dict(type='dual_softmax', beta=1)]),
     r"unexpected keyword argument 'beta'; its options are \('temperature',\)"),
    (dict(rerank=[dict(type='qb_norm')]), "missing .*'bank'"),
    (dict(rerank=[dict(type='dual_softmax')] * 2), 'may stand once'),
    (dict(rerank=[dict(type='qb_norm', bank='no.pth')]), 'bank.* not found: no.pth'),
    (dict(rerank=[dict(type='dual_softmax', temperature=-1)]),
     'temperature must be at least 0, got -1'),
    (dict(rerank=[dict(type='dual_softmax', temperature=float('inf'))]),
     'temperature must be a finite number, got inf'),
    (dict(rerank=5), 'rerank must be a list .*, got 5'),
    (dict(rerank='dual_softmax'), "rerank must be a list .*, got 'dual_softmax'"),
    (dict(rerank=['qb_norm']), "missing .*'bank'"),
])
def test_bad_options_are_named(options, message):
    with pytest.raises(InputError, match=message):
        evaluate_features(features(), **options)


def test_similarities_that_are_no_cosines_are_named():
    known = features(similarity=torch.full((13, 6), -8.))
    with pytest.raises(InputError, match='from -1 to 1; this head has them from -8'):
        evaluate_features(known, rerank=['dual_softmax'])


@pytest.mark.parametrize('options, message', [
    (dict(beta=0), 'beta must be positive, got 0'),
    (dict(top=1.0), 'top must be an integer, got 1.0'),
    (dict(top=7), 'top must be at most 6,'),
])
def test_bad_options_of_a_bank_are_named(options, message, tmp_path):
    path = str(tmp_path / 'bank.pth')
    save_features(features(), path)
    with pytest.raises(InputError, match=message):
        evaluate_features(
            features(), rerank=[dict(type='qb_norm', bank=path, **options)])


def test_a_reranking_goes_by_its_name_alone():
    assert evaluate_features(features(), rerank=['dual_softmax']) == (
        evaluate_features(features(), rerank=[dict(type='dual_softmax')]))
    plain = evaluate_features(features())
    untouched = evaluate_features(
        features(), rerank=[dict(type='dual_softmax', temperature=0)])
    assert {k: untouched[f'dual_softmax/{k}'] for k in plain} == plain


def test_a_bank_of_another_model_is_named(tmp_path):
    path = str(tmp_path / 'bank.pth')
    save_features(features(video=dict(video=torch.rand(6, 4)),
                           text=dict(text=torch.rand(13, 4))), path)
    with pytest.raises(InputError, match='of the same model'):
        evaluate_features(features(), rerank=[dict(type='qb_norm', bank=path)])


def pairs(segments=3, dims=8, **options):
    """Features of a pairwise head, which they know."""
    torch.manual_seed(0)
    config = dict(type='WeightedTokenInteractionHead', embed_dims=dims)
    head = MODELS.build(dict(config, **options)).eval()
    words = torch.rand(13, 4, dims)
    with torch.no_grad():
        return features(
            video=head.video_features(
                torch.rand(6, segments, dims), torch.ones(6, segments).bool()),
            text=head.text_features(
                TextFeatures(words[:, 0], words, torch.ones(13, 4).bool())),
            head=dict(config=config, state_dict=head.state_dict()))


@pytest.mark.parametrize('part, name, value', [
    ('text', 'word_mask', None), ('video', 'segments', torch.rand(6, 3, 7))])
def test_a_stored_head_that_cannot_compare_is_named(part, name, value):
    stored = pairs()
    values = {k: x for k, x in getattr(stored, part).items() if k != name}
    if value is not None:
        values[name] = value
    with pytest.raises(InputError, match='stored head, cannot compare'):
        stored._replace(**{part: values}).build_head()


def test_a_bank_of_pairs_is_of_the_same_head(tmp_path):
    def evaluate(bank):
        path = str(tmp_path / 'bank.pth')
        torch.save(dict(bank._asdict(), format='mmaction_centerclip.features.v1'),
                   path)
        return evaluate_features(
            pairs(), rerank=[dict(type='qb_norm', bank=path)])

    assert 'qb_norm/t2v/R1' in evaluate(pairs(segments=5))
    with pytest.raises(InputError, match="'segments': 6, .* the same model"):
        evaluate(pairs(dims=6))
    other = pairs()
    other.head['state_dict']['word_weight.0.bias'] += 1
    with pytest.raises(InputError, match='other weights or options'):
        evaluate(other)


def test_features_of_pairs_need_their_head():
    f = features(text=dict(words=torch.rand(13, 3, 8)))
    with pytest.raises(InputError, match='ScoringHeadHook'):
        evaluate_features(f)
    known = torch.rand(13, 6)
    f = f._replace(similarity=known)
    assert evaluate_features(f, rerank=['dual_softmax'])
    assert evaluate_features(f) == retrieval_metrics(known, f.video_of_text)
