"""Coastlines of Europe as closed rings, from GSHHG (Wessel & Smith 1996, doi:10.1029/96JB00104) as Debian packages it.

GMT's binned files (gmt-gshhg-low) hold each shoreline cut into segments by cells of some degrees; segments of one
polygon are put together again by their end points. The files are netCDF 4, which is HDF5: python3-h5py reads them.
Returns lists of (n, 2) arrays, degrees east and north.
"""

import functools

import numpy as np

BINNED = "/usr/share/gmt-gshhg/binned_GSHHS_{}.nc"
MISSING = "not drawn: gmt-gshhg-low or python3-h5py is not installed"
LAND = 1  # hierarchical level: 1 shoreline, 2 lake


@functools.lru_cache(maxsize=4)
def rings(box, resolution="i"):
    """Rings that touch box = (west, south, east, north): (land, lakes, name of the source)."""
    try:
        return _binned(BINNED.format(resolution), box) + (f"GSHHG ({resolution})",)
    except (ImportError, OSError):
        return [], [], MISSING


def _touches(ring, box):
    west, south, east, north = box
    return (ring[:, 0].max() > west and ring[:, 0].min() < east
            and ring[:, 1].max() > south and ring[:, 1].min() < north)


def _binned(path, box):
    import h5py
    with h5py.File(path) as f:
        bin_deg = int(f["Bin_size_in_minutes"][0]) / 60
        columns = int(f["N_bins_in_360_longitude_range"][0])
        segments = f["N_segments_in_a_bin"][:]
        packed = f["Embedded_npts_levels_exit_entry_for_a_segment"][:].astype(np.uint32)
        first_point = f["Id_of_first_point_in_a_segment"][:]
        identity = f["Id_of_GSHHS_ID"][:]
        dx = f["Relative_longitude_from_SW_corner_of_bin"][:].astype(np.uint16)
        dy = f["Relative_latitude_from_SW_corner_of_bin"][:].astype(np.uint16)
    # Each segment's bin (they are stored bin by bin) with its south-west corner, level and length.
    bin_of = np.repeat(np.arange(len(segments)), segments)
    x0 = (bin_of % columns) * bin_deg
    x0 = np.where(x0 >= 180, x0 - 360, x0)
    y0 = 90 - (bin_of // columns + 1) * bin_deg
    level, count = (packed >> 6) & 7, packed >> 9
    west, south, east, north = box
    usable = (level <= 2) & (count >= 2)
    near = usable & (x0 + bin_deg > west) & (x0 < east) & (y0 + bin_deg > south) & (y0 < north)
    wanted = usable & np.isin(identity, identity[near])
    pieces = {}
    for s in np.flatnonzero(wanted):
        at = slice(first_point[s], first_point[s] + count[s])
        line = np.empty((int(count[s]), 2))
        line[:, 0], line[:, 1] = x0[s] + dx[at] * (bin_deg / 65535), y0[s] + dy[at] * (bin_deg / 65535)
        pieces.setdefault((int(level[s]), int(identity[s])), []).append(line)
    land, lakes = [], []
    for key in sorted(pieces):
        for ring in _join(pieces[key]):
            if len(ring) > 3 and _touches(ring, box):
                (land if key[0] == LAND else lakes).append(ring)
    return land, lakes


def _join(lines):
    """Chains segments whose ends meet into rings."""
    name = lambda p: (round(float(p[0]), 3), round(float(p[1]), 3))
    starts = {}
    for i, line in enumerate(lines):
        starts.setdefault(name(line[0]), []).append(i)
    used = [False] * len(lines)
    for i, line in enumerate(lines):
        if used[i]:
            continue
        used[i] = True
        chain = [line]
        while True:
            end = chain[-1][-1]
            following = [j for j in starts.get(name(end), []) if not used[j]]
            if not following:
                break
            used[following[0]] = True
            chain.append(lines[following[0]][1:])
        yield np.vstack(chain)
