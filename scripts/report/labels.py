"""Places the map's labels so that none covers another, a harbour or, where it can be helped, a link. Works in pixels.

Greedy: the most crowded harbour first, each label at the cheapest of some places round its point. Good for a few dozen.
"""

import math

import numpy as np

FAR = 1e9


def overlap(a, b):
    """Area that two boxes (x0, y0, x1, y1) share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


STEP = 4  # pixels between the points by which a line's way through a box is measured


def dotted(line):
    """A polyline as points STEP apart."""
    line = np.asarray(line, float)
    at = np.concatenate(([0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))))
    wanted = np.arange(STEP / 2, max(at[-1], STEP), STEP)
    return np.column_stack([np.interp(wanted, at, line[:, axis]) for axis in (0, 1)])


def length_inside(dots, box):
    """Roughly how much of a dotted line runs through a box."""
    if not len(dots):
        return 0
    x, y = dots.T
    return STEP * int(np.count_nonzero((x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3])))


class Placer:
    def __init__(self, frame):
        self.frame = frame   # the map's own box
        self.solid = []      # boxes that no label may cover
        self.dots = np.empty((0, 2))  # of the lines that labels had better not cover
        self.line_of = np.empty(0, int)

    def note_line(self, line, number):
        """Labels avoid this line from now on, but for those that stand on it."""
        dots = dotted(line)
        self.dots = np.vstack((self.dots, dots))
        self.line_of = np.append(self.line_of, np.full(len(dots), number))

    def block(self, box):
        self.solid.append(box)

    def cost(self, box, but=None):
        f = self.frame
        if box[0] < f[0] or box[1] < f[1] or box[2] > f[2] or box[3] > f[3]:
            return FAR
        cost = 60.0 * sum(overlap(box, other) for other in self.solid)
        return cost + 14.0 * length_inside(self.dots if but is None else self.dots[self.line_of != but], box)

    def beside(self, x, y, width, height, gap):
        """The centre of a label beside a point, or None where no place lies within the frame."""
        best, best_cost = None, FAR
        for reach in (1.0, 1.7, 2.6):
            for rank, (dx, dy) in enumerate(((1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1), (0, 1), (0, -1),
                                             (1, .5), (-1, .5), (1, -.5), (-1, -.5), (.5, 1), (-.5, 1), (.5, -1), (-.5, -1))):
                cx = x + dx * (gap * reach * (0.75 if dy else 1) + width / 2)
                cy = y + dy * (gap * reach + height / 2)
                box = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
                cost = self.cost(box) + 8 * rank + 160 * (reach - 1)
                if cost < best_cost:
                    best, best_cost, chosen = (cx, cy), cost, box
        if best:
            self.block(chosen)
        return best

    def along(self, line, number, width, height, tolerance=900.0):
        """The centre of a label on a line of this number, or None where every place would cover something."""
        line = np.asarray(line)
        steps = np.hypot(*np.diff(line, axis=0).T)
        at = np.concatenate(([0], np.cumsum(steps)))
        best, best_cost = None, tolerance
        for rank, share in enumerate((.5, .42, .58, .34, .66, .27, .73, .2, .8)):
            x, y = (np.interp(share * at[-1], at, line[:, axis]) for axis in (0, 1))
            box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            cost = self.cost(box, but=number) + 40 * rank
            if cost < best_cost:
                best, best_cost, chosen = (x, y), cost, box
        if best:
            self.block(chosen)
        return best


def bend(start, end, others, clearance, shift=0.0):
    """A line from start to end: straight, or an arc where it would pass through a third point. `shift` bends it anyway,
    for links that share both ends."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    along = b - a
    length = float(np.hypot(*along)) or 1.0
    normal = np.array([-along[1], along[0]]) / length
    t = np.linspace(0, 1, 25)[:, None]

    def arc(height):
        middle = (a + b) / 2 + 2 * height * normal
        return (1 - t) ** 2 * a + 2 * t * (1 - t) * middle + t ** 2 * b

    def room(line):
        away = [float(np.min(np.hypot(line[:, 0] - x, line[:, 1] - y))) for x, y in others]
        return min(away, default=FAR)

    for height in (shift, shift + 0.07 * length, shift - 0.07 * length, shift + 0.13 * length, shift - 0.13 * length):
        line = arc(height)
        if room(line) > clearance:
            return line
    return arc(shift)
