"""Coastlines of Europe as closed rings, from GSHHG (Wessel & Smith 1996, doi:10.1029/96JB00104) as Debian packages it.

GMT's binned files (gmt-gshhg-low) hold each shoreline cut into segments by cells of some degrees; segments of one
polygon are put together again by their end points. Without that package the crude rings of python-cartopy-data serve.
Returns lists of (n, 2) arrays, degrees east and north.
"""

import os
import struct

import numpy as np

BINNED = "/usr/share/gmt-gshhg/binned_GSHHS_{}.nc"
CRUDE = "/usr/share/cartopy/data/shapefiles/gshhs/c/GSHHS_c_L1.shp"
LAND = 1  # hierarchical level: 1 shoreline, 2 lake


def rings(box, resolution="i"):
    """Rings that touch box = (west, south, east, north): (land, lakes, name of the source)."""
    path = BINNED.format(resolution)
    if os.path.exists(path):
        try:
            return _binned(path, box) + (f"GSHHG ({resolution})",)
        except (ImportError, OSError):
            pass
    if os.path.exists(CRUDE):
        return _shapefile(CRUDE, box), [], "GSHHG (crude)"
    return [], [], "no coastline data installed"


def _touches(ring, box):
    west, south, east, north = box
    return (ring[:, 0].max() > west and ring[:, 0].min() < east
            and ring[:, 1].max() > south and ring[:, 1].min() < north)


def _binned(path, box):
    import h5py
    with h5py.File(path) as f:
        bin_deg = int(f["Bin_size_in_minutes"][0]) / 60
        columns = int(f["N_bins_in_360_longitude_range"][0])
        first_segment = f["Id_of_first_segment_in_a_bin"][:]
        segments = f["N_segments_in_a_bin"][:]
        packed = f["Embedded_npts_levels_exit_entry_for_a_segment"][:].astype(np.uint32)
        first_point = f["Id_of_first_point_in_a_segment"][:]
        identity = f["Id_of_GSHHS_ID"][:]
        dx = f["Relative_longitude_from_SW_corner_of_bin"][:].astype(np.uint16)
        dy = f["Relative_latitude_from_SW_corner_of_bin"][:].astype(np.uint16)
    pieces = {}
    wanted = set()
    west, south, east, north = box
    for b in range(len(segments)):
        x0 = (b % columns) * bin_deg
        y0 = 90 - (b // columns + 1) * bin_deg
        if x0 >= 180:
            x0 -= 360
        near = x0 + bin_deg > west and x0 < east and y0 + bin_deg > south and y0 < north
        for s in range(first_segment[b], first_segment[b] + segments[b]):
            level = (int(packed[s]) >> 6) & 7
            points = int(packed[s]) >> 9
            if level > 2 or points < 2:
                continue
            at = slice(first_point[s], first_point[s] + points)
            line = np.column_stack((x0 + dx[at] / 65535 * bin_deg, y0 + dy[at] / 65535 * bin_deg))
            key = (level, int(identity[s]))
            pieces.setdefault(key, []).append(line)
            if near:
                wanted.add(key)
    land, lakes = [], []
    for key in sorted(wanted):
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


def _shapefile(path, box):
    """Rings of an ESRI shapefile of polygons (ESRI white paper, July 1998)."""
    with open(path, "rb") as f:
        data = f.read()
    out, at = [], 100
    while at + 8 <= len(data):
        words, = struct.unpack(">i", data[at + 4:at + 8])
        body = data[at + 8:at + 8 + 2 * words]
        at += 8 + 2 * words
        parts, count = struct.unpack("<ii", body[36:44])
        begins = list(struct.unpack(f"<{parts}i", body[44:44 + 4 * parts])) + [count]
        points = np.frombuffer(body, "<f8", 2 * count, 44 + 4 * parts).reshape(-1, 2)
        for a, b in zip(begins, begins[1:]):
            if _touches(points[a:b], box):
                out.append(points[a:b])
    return out
