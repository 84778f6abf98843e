"""Compiled draws behind the synthetic sample: random numbers, tastes, plays and their times.

A table of cumulative weights is an int64 array that starts at 0; entry i + 1 minus entry i is the
weight of i.
"""

from __future__ import annotations

import numpy as np

from musicrec.jit.kernel import STEP, kernel, mix

# Streams of random numbers: a purpose each.
USER_IDS, TRACK_IDS, POPULARITY, LENGTHS, PLAYS, RELEASES, TURNS, TIMES = 1, 2, 3, 4, 5, 6, 7, 8

SCENES_A_GENRE = 3  # scenes a listener follows in one genre before turning to the next
PLAYS_A_SCENE = 12  # a listener with n plays follows 2 + n / 12 scenes, at most MAX_SCENES
MAX_SCENES = 12
SCENE_SHARE, GENRE_SHARE = 0.62, 0.20  # of draws; the rest are drawn from all tracks

MONTHS, MONTH = 12, 30  # that the plays are spread over; days of one
OLDEST_RELEASE, OLDEST_TURN = 84, 6  # months before the first play


@kernel()
def fill_hashes(seed, stream, first, out):
    """Fill the uint64 array `out` with random numbers; its row i is row first + i of the stream."""
    state = np.empty(1, np.uint64)
    for row in range(len(out)):
        _start(state, seed, stream, first + row)
        for column in range(out.shape[1]):
            out[row, column] = _next(state)


@kernel()
def _start(state, seed, stream, row):
    state[0] = mix(mix(mix(seed) + np.uint64(stream)) + np.uint64(row))


@kernel()
def _next(state):
    state[0] += STEP
    return mix(state[0])


@kernel()
def _draw(state, cumulative, start, stop):
    """Draw one of start … stop - 1 by weight: the last i with cumulative[i] <= a random number."""
    low, high = cumulative[start], cumulative[stop]
    uniform = np.float64(_next(state) >> np.uint64(11)) * 2.0**-53
    value = low + np.int64(uniform * np.float64(high - low))
    while stop - start > 1:
        middle = (start + stop) // 2
        if cumulative[middle] <= value:
            start = middle
        else:
            stop = middle
    return start


@kernel()
def draw_lengths(seed, first, n_users, histories):
    """Draw a number from the table `histories` for each user; int64 array (n_users)."""
    lengths = np.empty(n_users, np.int64)
    state = np.empty(1, np.uint64)
    for user in range(n_users):
        _start(state, seed, LENGTHS, first + user)
        lengths[user] = _draw(state, histories, 0, len(histories) - 1)
    return lengths


@kernel()
def _draw_tastes(state, n_plays, catalogue, taste):
    """Choose the scenes a listener follows; return how many. A favourite may come twice."""
    popularity, scenes, genres = catalogue.popularity, catalogue.scenes, catalogue.genres
    n_scenes = min(MAX_SCENES, 2 + n_plays // PLAYS_A_SCENE)
    genre = 0
    for position in range(n_scenes):
        track = _draw(state, popularity, 0, len(popularity) - 1)
        if position % SCENES_A_GENRE == 0:
            scene = np.searchsorted(scenes, track, "right") - 1
            genre = np.searchsorted(genres, scene, "right") - 1
        else:
            track = _draw(state, popularity, scenes[genres[genre]], scenes[genres[genre + 1]])
        taste[position] = np.searchsorted(scenes, track, "right") - 1
    return n_scenes


@kernel()
def draw_plays(seed, first, indptr, catalogue, counts):
    """Draw each user's distinct tracks and their counts; int32 arrays (n_plays).

    User first + u gets the rows indptr[u] to indptr[u + 1] - 1. `catalogue` is a
    `sample.plays.Catalogue`, `counts` a table of cumulative weights of the counts 1, 2, …
    """
    scenes, genres = catalogue.scenes, catalogue.genres
    n_tracks = len(catalogue.popularity) - 1
    tracks = np.empty(indptr[-1], np.int32)
    plays = np.empty(indptr[-1], np.int32)
    owner = np.full(n_tracks, -1, np.int32)  # the last user who drew the track
    favourite = np.empty(indptr[-1], np.bool_)
    taste = np.empty(MAX_SCENES, np.int64)
    state = np.empty(1, np.uint64)
    for user in range(len(indptr) - 1):
        _start(state, seed, PLAYS, first + user)
        start, stop = indptr[user], indptr[user + 1]
        n_scenes = _draw_tastes(state, stop - start, catalogue, taste)
        at = start
        while at < stop:
            level = np.float64(_next(state) >> np.uint64(11)) * 2.0**-53
            scene = taste[np.int64(_next(state) % np.uint64(n_scenes))]
            low, high = 0, n_tracks
            if level < SCENE_SHARE:
                low, high = scenes[scene], scenes[scene + 1]
            elif level < SCENE_SHARE + GENRE_SHARE:
                genre = np.searchsorted(genres, scene, "right") - 1
                low, high = scenes[genres[genre]], scenes[genres[genre + 1]]
            track = _draw(state, catalogue.popularity, low, high)
            if owner[track] != user:
                owner[track] = user
                tracks[at] = track
                favourite[at] = level < SCENE_SHARE
                plays[at] = 1 + _draw(state, counts, 0, len(counts) - 1)
                at += 1
        # Tracks of one's own scenes are played more: let them take higher counts from the others.
        # This moves counts within a user and leaves their distribution as it is.
        for at in range(start, stop):
            other = start + np.int64(_next(state) % np.uint64(stop - start))
            if favourite[other] and not favourite[at] and plays[at] > plays[other]:
                plays[at], plays[other] = plays[other], plays[at]
    return tracks, plays


@kernel()
def _fading(age):
    """Weight of a track or of a taste by its age in months."""
    return 1 + (64 >> (age // 2))


@kernel()
def draw_times(seed, users, tracks, counts, catalogue):
    """Spread the plays of each (user, track) over months: by the ages of track and of taste.

    A track is played from its release on, most when it is new; a listener turns to each scene at
    one time, and plays its tracks most from then on. `users`, int64, count over all chunks.

    Returns
    -------
    pairs, plays, days : int64 arrays (n_rows)
        A row for each month in which a pair has plays, in this order: how many, and the day of one
        of them, from 0.
    """
    scenes, releases = catalogue.scenes, catalogue.releases
    pairs, plays, days = np.empty((3, np.sum(np.minimum(counts, MONTHS))), np.int64)
    weights = np.zeros(MONTHS + 1, np.int64)
    state = np.empty(1, np.uint64)
    row = 0
    for pair in range(len(counts)):
        user, track = users[pair], tracks[pair]
        scene = np.searchsorted(scenes, track, "right") - 1
        _start(state, seed, TURNS, user * len(scenes) + scene)
        turn = np.int64(_next(state) % np.uint64(OLDEST_TURN + MONTHS)) - OLDEST_TURN
        for month in range(MONTHS):
            weight = _fading(month - releases[track]) if month >= releases[track] else 0
            weight *= _fading(month - turn) if month >= turn else 1
            weights[month + 1] = weights[month] + weight
        _start(state, seed, TIMES, user * len(releases) + track)
        of_month = np.zeros(MONTHS, np.int64)
        for _ in range(counts[pair]):
            of_month[_draw(state, weights, 0, MONTHS)] += 1
        for played in np.flatnonzero(of_month):
            pairs[row], plays[row] = pair, of_month[played]
            days[row] = played * MONTH + np.int64(_next(state) % np.uint64(MONTH))
            row += 1
    return pairs[:row], plays[:row], days[:row]
