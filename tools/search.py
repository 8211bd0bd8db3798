#!/usr/bin/env python
"""Index one's own videos, and find moments in them by words."""
import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path

from mmaction_centerclip import cli
from mmaction_centerclip.errors import InputError, config_errors, printable
from mmaction_centerclip.utils.files import check_absent

ROOT = Path(__file__).resolve().parents[1]
DEMO_CONFIG = ROOT / 'configs' / 'retrieval' / 'centerclip' / (
    'centerclip-b2-2-16_vit-tiny-p16-res64_1xb72-u8-10e_shapes-rgb.py')


def add_page_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands that show a page in the browser."""
    serve = commands.add_parser('serve', help='search on a page in the browser')
    demo = commands.add_parser(
        'demo', help='the page with the model and videos of tools/run_shapes.py')
    demo.add_argument('--work-dir', type=Path, default=Path('work_dirs/shapes'),
                      help='where tools/run_shapes.py has trained')
    demo.add_argument('--data', type=Path, default=Path('data/shapes'),
                      help='where the shapes data is')
    demo.add_argument('--out', type=Path, default=Path('work_dirs/search_demo'),
                      help='where the index and copies of the test videos go')
    demo.add_argument('--no-open', action='store_true',
                      help='open no browser, which is done where there is a display')
    for command in (serve, demo):
        command.add_argument('--host', default='127.0.0.1',
                             help='the address to listen at; default: this machine')
        command.add_argument('--port', type=int, default=8000,
                             help='its port, 0 for a free one; default: 8000')
        command.add_argument('--allow-host', nargs='+', default=[], metavar='NAME',
                             help='more names that this machine may be called by')
        command.add_argument('--example', action='append', default=[],
                             metavar='QUERY', help='a query to try, shown on the page')


def add_search_command(commands: argparse._SubParsersAction) -> cli.ToolParser:
    """Add the command that finds moments."""
    search = commands.add_parser('search', help='find moments')
    search.add_argument('query', nargs='?', help='what to look for, in words')
    search.add_argument('--clip', type=Path,
                        help='a video or a picture to look for, in place of words')
    search.add_argument('--not', dest='exclude', nargs='+', metavar='WORDS',
                        help="what not to look for, such as 'snow'")
    search.add_argument('--topk', type=cli.positive_int, default=10)
    search.add_argument('--min-score', type=float,
                        help='the lowest score to show; default: any')
    search.add_argument('--files', nargs='+', metavar='PATTERN',
                        help="only in files like these, such as '*/2024/*.mp4'")
    search.add_argument('--exact', action='store_true',
                        help='compare all rows, also of a large index')
    search.add_argument('--export', metavar='FILE',
                        help='write the moments to a .csv table, .edl edit list, .txt '
                        'chapters or .srt subtitles')
    search.add_argument('--cut', metavar='FOLDER', type=Path,
                        help='write the moments as clips into a folder')
    return search


def add_index_command(commands: argparse._SubParsersAction) -> cli.ToolParser:
    """Add the command that encodes a folder."""
    index = commands.add_parser('index', help='add the videos of a folder to an index')
    index.add_argument('videos', nargs='?', help='a folder of videos, with its folders')
    index.add_argument('--moved', nargs=2, metavar=('OLD', 'NEW'),
                       help='the folder OLD of the index is now NEW, with the same '
                       'files')
    index.add_argument('--window', type=float,
                       help='longest window of a new index, in seconds; default: 10')
    index.add_argument('--split', choices=['length', 'cuts'],
                       help='where windows of a new index begin: after equal times '
                       '(the default), or at shot cuts too')
    index.add_argument('--batch-size', type=cli.positive_int, default=8,
                       help='windows to encode at a time')
    cli.add_num_workers(index, 2, 'files to decode at a time')
    index.add_argument('--reindex', action='store_true',
                       help='encode the files of another model anew')
    index.add_argument('--pictures', action='store_true',
                       help='take in files of one frame too')
    index.add_argument('--drop-missing', action='store_true',
                       help='take out all files that are gone, of any folder')
    cli.add_launcher(index, 'who has started several of these processes, which share '
                     'the files: torchrun is pytorch')
    return index


def parse_args() -> argparse.Namespace:
    parser = cli.ToolParser(
        description="Index one's own videos, and find moments in them by words")
    commands = parser.add_subparsers(dest='command', required=True)
    index, search = add_index_command(commands), add_search_command(commands)
    add_page_commands(commands)
    for name in ('index', 'search', 'serve'):
        command = commands.choices[name]
        command.add_argument('--index', required=True, help='the file of the index')
        command.add_argument('--config', help='the config of the model, or the folder '
                             'of tools/deployment/export_onnx.py; default: as the '
                             'index remembers')
        command.add_argument('--checkpoint', help='its checkpoint; default: as the '
                             'index remembers; with --config, the weights that '
                             'model.pretrained names')
        cli.add_cfg_options(command)
        cli.add_allow_other(command)
    for command in (index, search):
        command.add_argument('--json', action='store_true',
                             help='print JSON in place of a table')
    for command in commands.choices.values():
        cli.add_device(command)
    export = commands.add_parser(
        'export', help='write the rows of an index for a search engine')
    export.add_argument('rows', help='the .parquet file to write')
    export.add_argument('--index', required=True, help='the file of the index')
    args = parser.parse_args()
    if args.command == 'index' and (args.videos is None) == (args.moved is None):
        parser.error('give either a folder of videos or --moved')
    if args.command == 'search' and (args.query is None) == (args.clip is None):
        parser.error('give either words or --clip')
    return args


if __name__ == '__main__':
    ARGS = parse_args()  # before imports that take seconds

from mmaction_centerclip.apis import VideoTextRetrievalInferencer
from mmaction_centerclip.datasets.video.decoding_errors import DecodingError
from mmaction_centerclip.deployment.onnx_folder import is_exported
from mmaction_centerclip.engine import launching
from mmaction_centerclip.search import Hit, VideoIndex, export_rows, remembered_model
from mmaction_centerclip.search.folder_update import relocate
from mmaction_centerclip.search.parts import add_together
from mmaction_centerclip.search.store import IndexStore
from mmaction_centerclip.utils.tables import format_table


def open_index(args: argparse.Namespace) -> VideoIndex:
    """Open the index with its model."""
    if not Path(args.index).is_file() and (
            args.command != 'index' or args.config is None):
        raise InputError(f'no such index: {args.index}' + (
            '; --config makes a new one' if args.command == 'index' else ''))
    is_first = launching.is_first_process(getattr(args, 'launcher', 'none'))
    if is_first:
        print(f'loading the model of {args.config or args.index}', file=sys.stderr)
    cfg, checkpoint = args.config, args.checkpoint
    if cfg is None:
        cfg, checkpoint = remembered_model(args.index, checkpoint)
    if is_exported(cfg):
        if args.cfg_options or args.allow_other:
            raise InputError(f'{cfg} is an exported model, whose config is fixed; got '
                             '--cfg-options or --allow-other')
    else:
        if args.config is not None:
            cfg = launching.read_config(cfg, {})
        with config_errors('--cfg-options'):
            launching.merge_options(cfg, args.cfg_options, args.allow_other)
    inferencer = VideoTextRetrievalInferencer(
        cfg, checkpoint, args.device, show_progress=False)
    if args.command != 'index':
        return VideoIndex(args.index, inferencer)
    inferencer.show_progress = is_first and not args.json
    return VideoIndex(args.index, inferencer, args.window, args.split)


def add(args: argparse.Namespace, index: VideoIndex) -> None:
    """Add a folder, and say what became of its files."""
    options = (args.videos, args.batch_size, args.num_workers, args.reindex,
               args.pictures, args.drop_missing)
    if args.launcher == 'none':
        added = index.add(*options)
    elif (added := add_together(index, *options)) is None:
        return  # which the first process says
    if args.json:
        print(json.dumps(dataclasses.asdict(added), indent=1))
        return
    unchanged = len({*added.unchanged} - {*added.unreadable, *added.pictures})
    moved = f'{len(added.moved)} moved, ' if added.moved else ''
    print(f'{len(added.indexed)} indexed, {unchanged} unchanged, {moved}'
          f'{len(added.removed)} removed, {len(added.unreadable)} unreadable')
    if added.pictures:
        print(f'{len(added.pictures)} left out as pictures, such as '
              f'{printable(added.pictures[0])} (--pictures takes them in)')
    for path, reason in added.unreadable.items():
        print(printable(f'unreadable: {path}: {reason}'))


def move(args: argparse.Namespace) -> None:
    """Follow a moved folder; it takes no model."""
    moved, left = relocate(IndexStore(args.index), *args.moved)
    print(f'{len(moved)} files moved, {len(left)} have no such file in '
          f'{args.moved[1]}')
    for path in left:
        print(printable(f'not there: {path}'))


def export(args: argparse.Namespace) -> None:
    """Write the rows for a search engine; it takes no model."""
    count = export_rows(IndexStore(args.index), args.rows)
    print(f'{count} rows written to {args.rows}')


def find(args: argparse.Namespace, index: VideoIndex) -> None:
    """Search, and show, write and cut what is found."""
    hits = index.search(args.clip or args.query, args.topk, args.min_score,
                        args.files, args.exclude, args.exact or None)
    changes = index.changes(hits)
    if args.json:
        print(json.dumps(dict(hits=[dataclasses.asdict(hit) for hit in hits],
                              changes=changes), indent=1))
    elif hits:
        print(format_table(('file', 'in', 'out', 'score'), [
            (hit.file, f'{hit.start:.2f}', f'{hit.end:.2f}', f'{hit.score:.3f}')
            for hit in hits]))
    else:
        print('nothing found')
    if not args.json:
        for path, change in changes.items():
            print(printable(f'{path} {change}'))
    if args.export:
        index.export(hits, args.export, args.query or args.clip.name)
    if args.cut:
        cut(index, hits, args.cut)


def cut(index: VideoIndex, hits: list[Hit], folder: Path) -> None:
    """Write clips into a folder; name those that cannot be written at the end."""
    paths = [folder / f'{number:02}_{Path(hit.file).stem}.mp4'
             for number, hit in enumerate(hits, 1)]
    check_absent(*map(str, paths))
    is_new, faults = not folder.exists(), []
    folder.mkdir(parents=True, exist_ok=True)
    for hit, path in zip(hits, paths):
        try:
            index.cut(hit, path)
        except DecodingError as error:
            faults.append(f'{hit.file}: {error.reason}')
        except InputError as error:
            faults.append(str(error))
    if faults:
        if is_new and len(faults) == len(hits):
            folder.rmdir()
        raise InputError(f'{len(faults)} of {len(hits)} moments are not cut: '
                         + '; '.join(dict.fromkeys(faults)))


def serve(args: argparse.Namespace) -> None:
    # Only here: it needs what the other commands do without.
    from mmaction_centerclip.search.page import serve
    serve(lambda: open_index(args), args.host, args.port, args.allow_host, args.example)


def demo(args: argparse.Namespace) -> None:
    """Index the shapes data's test videos, and show the page."""
    from mmaction_centerclip.search.page import copy_videos, find_demo, serve
    checkpoint, texts = find_demo(args.work_dir, args.data)
    # The plainest phrasing first, without the second shape that some have.
    captions = sorted((text for own in texts.values() for text in own),
                      key=lambda text: not text.startswith('a ') or ', and ' in text)

    def open_demo() -> VideoIndex:
        inferencer = VideoTextRetrievalInferencer(
            DEMO_CONFIG, str(checkpoint), args.device)
        copy_videos(texts, args.data, args.out / 'videos')
        index = VideoIndex(args.out / 'demo.index', inferencer)
        index.add(args.out / 'videos', reindex=True)
        index.inferencer.show_progress = False
        return index

    has_display = os.name == 'nt' or sys.platform == 'darwin' or any(
        os.environ.get(name) for name in ('DISPLAY', 'WAYLAND_DISPLAY'))
    serve(open_demo, args.host, args.port, args.allow_host,
          args.example or captions[:3], opens_browser=has_display and not args.no_open)


def main(args: argparse.Namespace) -> None:
    with cli.exit_on_input_error():
        if args.command in ('serve', 'demo', 'export'):
            return dict(serve=serve, demo=demo, export=export)[args.command](args)
        if args.command == 'index' and args.moved:
            return move(args)
        if getattr(args, 'launcher', 'none') != 'none':
            launching.join_processes(args.launcher)
        index = open_index(args)
        (add if args.command == 'index' else find)(args, index)


if __name__ == '__main__':
    main(ARGS)
