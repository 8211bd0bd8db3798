"""The notebooks run, on generated videos."""
import nbformat
import pytest
from nbclient import NotebookClient

from .paths import ROOT
from .search.films import write_film


@pytest.mark.slow
def test_search(tiny_config, tiny_checkpoint, tmp_path, monkeypatch):
    for number in range(2):
        write_film(tmp_path / 'films' / f'{number}.mp4', [20, 30])
    (tmp_path / 'films' / 'notes.mp4').write_text('no video')
    for name, value in dict(
            SEARCH_CONFIG=tiny_config, SEARCH_CHECKPOINT=tiny_checkpoint,
            SEARCH_VIDEOS=tmp_path / 'films', SEARCH_OUT=tmp_path / 'found',
            PYTHONPATH=ROOT, IPYTHONDIR=tmp_path / 'ipython').items():
        monkeypatch.setenv(name, str(value))
    notebook = nbformat.read(ROOT / 'demo' / 'search.ipynb', as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name='python3',
                   resources=dict(metadata=dict(path=str(tmp_path)))).execute()
    outputs = [output for cell in notebook.cells for output in cell.get('outputs', ())]
    said = ''.join(output.get('text', '') for output in outputs)
    assert '2 files indexed' in said and 'notes.mp4: cannot be decoded' in said
    pictures = [output for output in outputs if 'image/png' in output.get('data', {})]
    clips = list((tmp_path / 'found').glob('*.mp4'))
    assert len(pictures) == len(clips) >= 1
    assert len((tmp_path / 'found' / 'moments.csv').read_text().splitlines()) == (
        1 + len(clips))
