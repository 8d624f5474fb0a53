#include "retrieval/cells.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "retrieval/memory.h"

/* Open addressing with linear probing. A place holds value + 1, 0 where it is free. */
typedef struct keymap {
    uint64_t *key;
    uint32_t *value;
    uint32_t capacity, count; /* capacity is 0 or a power of two, at least twice the count */
} keymap;

/* What one owner's cells hold. */
typedef struct owner {
    uint32_t number, exemplars;
} owner;

struct atoll_cells {
    atoll_cell *cell;
    uint32_t *heap; /* cells, the largest at the top; as many as there are cells */
    uint32_t count, capacity;
    owner *owners;
    uint32_t owner_count, owner_capacity;
    keymap by_key, by_owner;
    uint32_t *place; /* slot -> position inside its cell */
    uint32_t places;
    uint32_t *spare; /* the first member array of the next new cell */
    uint32_t members;
    uint64_t member_room; /* of all cells' member arrays, in members */
};

enum { FIRST_MEMBERS = 4 };

static uint64_t key_of(uint32_t owner_number, uint32_t label)
{
    return (uint64_t)owner_number << 32 | label;
}

/* --- keymap --- */

static uint32_t home_of(const keymap *map, uint64_t key)
{
    return (uint32_t)((key * 0x9e3779b97f4a7c15u) >> 32) & (map->capacity - 1);
}

/* The place that holds `key`, or the free place where it would go. */
static uint32_t place_of(const keymap *map, uint64_t key)
{
    uint32_t i = home_of(map, key);
    while (map->value[i] && map->key[i] != key)
        i = (i + 1) & (map->capacity - 1);
    return i;
}

/* UINT32_MAX where `key` is not there. */
static uint32_t map_get(const keymap *map, uint64_t key)
{
    return map->capacity ? map->value[place_of(map, key)] - 1 : UINT32_MAX;
}

static void map_set(keymap *map, uint64_t key, uint32_t value)
{
    uint32_t i = place_of(map, key);
    map->count += map->value[i] == 0;
    map->key[i] = key;
    map->value[i] = value + 1;
}

static void map_remove(keymap *map, uint64_t key)
{
    /* What follows is moved back over the gap wherever its probe would meet the gap first [Knuth, 6.4 R]. */
    uint32_t mask = map->capacity - 1, gap = place_of(map, key);
    for (uint32_t i = (gap + 1) & mask; map->value[i]; i = (i + 1) & mask) {
        uint32_t home = home_of(map, map->key[i]);
        if (((i - home) & mask) < ((i - gap) & mask))
            continue;
        map->key[gap] = map->key[i];
        map->value[gap] = map->value[i];
        gap = i;
    }
    map->value[gap] = 0;
    map->count--;
}

static bool map_reserve(keymap *map)
{
    if (2 * (map->count + 1) <= map->capacity)
        return true;
    keymap grown = {.capacity = map->capacity ? 2 * map->capacity : 64};
    grown.key = malloc(grown.capacity * sizeof *grown.key);
    grown.value = calloc(grown.capacity, sizeof *grown.value);
    if (!grown.key || !grown.value) {
        free(grown.key);
        free(grown.value);
        return false;
    }
    for (uint32_t i = 0; i < map->capacity; i++)
        if (map->value[i])
            map_set(&grown, map->key[i], map->value[i] - 1);
    free(map->key);
    free(map->value);
    *map = grown;
    return true;
}

/* --- heap --- */

static bool larger(const atoll_cells *cells, uint32_t a, uint32_t b)
{
    const atoll_cell *x = &cells->cell[a], *y = &cells->cell[b];
    if (x->count != y->count)
        return x->count > y->count;
    return key_of(x->owner, x->label) < key_of(y->owner, y->label);
}

static void heap_set(atoll_cells *cells, uint32_t at, uint32_t cell)
{
    cells->heap[at] = cell;
    cells->cell[cell].heap_at = at;
}

/* Moves the cell at `at` to where its size belongs. */
static void heap_mend(atoll_cells *cells, uint32_t at)
{
    uint32_t cell = cells->heap[at];
    for (; at && larger(cells, cell, cells->heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap_set(cells, at, cells->heap[(at - 1) / 2]);
    for (uint32_t child; (child = 2 * at + 1) < cells->count; at = child) {
        if (child + 1 < cells->count && larger(cells, cells->heap[child + 1], cells->heap[child]))
            child++;
        if (!larger(cells, cells->heap[child], cell))
            break;
        heap_set(cells, at, cells->heap[child]);
    }
    heap_set(cells, at, cell);
}

/* --- growth --- */

/* An array of 4-byte elements for at least `want`; NULL where memory is short, and the array is as before. */
static uint32_t *grown(uint32_t *array, uint32_t *capacity, uint32_t want, uint32_t least)
{
    if (want <= *capacity)
        return array;
    uint32_t room = *capacity ? *capacity : least;
    while (room < want)
        room *= 2;
    uint32_t *larger_array = realloc(array, room * sizeof *array);
    if (larger_array)
        *capacity = room;
    return larger_array;
}

static bool reserve_members(atoll_cells *cells, atoll_cell *cell, uint32_t want)
{
    uint32_t before = cell->capacity;
    uint32_t *members = grown(cell->members, &cell->capacity, want, FIRST_MEMBERS);
    if (!members)
        return false;
    cell->members = members;
    cells->member_room += cell->capacity - before;
    return true;
}

static bool reserve_cell(atoll_cells *cells)
{
    if (cells->count == cells->capacity) {
        uint32_t capacity = cells->capacity ? 2 * cells->capacity : 64;
        atoll_cell *cell = realloc(cells->cell, capacity * sizeof *cell);
        if (!cell)
            return false;
        cells->cell = cell;
        uint32_t *heap = realloc(cells->heap, capacity * sizeof *heap);
        if (!heap)
            return false;
        cells->heap = heap;
        cells->capacity = capacity;
    }
    if (!cells->spare)
        cells->spare = malloc(FIRST_MEMBERS * sizeof *cells->spare);
    return cells->spare && map_reserve(&cells->by_key);
}

/* The owner's count, made where it is missing. An owner without cells is allowed. */
static bool reserve_owner(atoll_cells *cells, uint32_t number)
{
    if (map_get(&cells->by_owner, number) != UINT32_MAX)
        return true;
    if (cells->owner_count == cells->owner_capacity) {
        uint32_t capacity = cells->owner_capacity ? 2 * cells->owner_capacity : 16;
        owner *owners = realloc(cells->owners, capacity * sizeof *owners);
        if (!owners)
            return false;
        cells->owners = owners;
        cells->owner_capacity = capacity;
    }
    if (!map_reserve(&cells->by_owner))
        return false;
    cells->owners[cells->owner_count] = (owner){.number = number};
    map_set(&cells->by_owner, number, cells->owner_count++);
    return true;
}

static bool reserve(atoll_cells *cells, uint32_t owner_number, uint32_t label, uint32_t slot)
{
    uint32_t *place = grown(cells->place, &cells->places, slot + 1, 256);
    if (!place)
        return false;
    cells->place = place;
    uint32_t at = map_get(&cells->by_key, key_of(owner_number, label));
    if (at != UINT32_MAX && !reserve_members(cells, &cells->cell[at], cells->cell[at].count + 1))
        return false;
    /* Even a cell that is there may go before the add, with its last member. */
    return reserve_cell(cells) && reserve_owner(cells, owner_number);
}

atoll_status atoll_cells_reserve(atoll_cells *cells, uint32_t owner_number, uint32_t label, uint32_t slot,
                                 atoll_error *error)
{
    if (!reserve(cells, owner_number, label, slot))
        return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for the memory's cells");
    return ATOLL_OK;
}

/* --- cells --- */

atoll_cells *atoll_cells_new(void)
{
    return calloc(1, sizeof(atoll_cells));
}

void atoll_cells_free(atoll_cells *cells)
{
    if (!cells)
        return;
    for (uint32_t i = 0; i < cells->count; i++)
        free(cells->cell[i].members);
    free(cells->cell);
    free(cells->heap);
    free(cells->owners);
    free(cells->by_key.key);
    free(cells->by_key.value);
    free(cells->by_owner.key);
    free(cells->by_owner.value);
    free(cells->place);
    free(cells->spare);
    free(cells);
}

static atoll_cell *find(const atoll_cells *cells, uint32_t owner_number, uint32_t label)
{
    uint32_t at = map_get(&cells->by_key, key_of(owner_number, label));
    return at == UINT32_MAX ? NULL : &cells->cell[at];
}

static owner *owner_of(const atoll_cells *cells, uint32_t number)
{
    uint32_t at = map_get(&cells->by_owner, number);
    return at == UINT32_MAX ? NULL : &cells->owners[at];
}

const atoll_cell *atoll_cells_find(const atoll_cells *cells, uint32_t owner_number, uint32_t label)
{
    return find(cells, owner_number, label);
}

const atoll_cell *atoll_cells_largest(const atoll_cells *cells)
{
    return cells->count ? &cells->cell[cells->heap[0]] : NULL;
}

const atoll_cell *atoll_cells_all(const atoll_cells *cells, uint32_t *count)
{
    *count = cells->count;
    return cells->cell;
}

/* Reserved before. */
static atoll_cell *cell_new(atoll_cells *cells, uint32_t owner_number, uint32_t label)
{
    uint32_t at = cells->count++;
    atoll_cell *cell = &cells->cell[at];
    *cell = (atoll_cell){.owner = owner_number, .label = label, .members = cells->spare, .capacity = FIRST_MEMBERS};
    cells->spare = NULL;
    cells->member_room += FIRST_MEMBERS;
    heap_set(cells, at, at);
    map_set(&cells->by_key, key_of(owner_number, label), at);
    return cell;
}

static void cell_drop(atoll_cells *cells, atoll_cell *cell)
{
    uint32_t at = (uint32_t)(cell - cells->cell), hole = cell->heap_at;
    map_remove(&cells->by_key, key_of(cell->owner, cell->label));
    cells->member_room -= cell->capacity;
    free(cell->members);

    uint32_t last = --cells->count;
    if (hole < last) {
        heap_set(cells, hole, cells->heap[last]);
        heap_mend(cells, hole);
    }
    if (at < last) {
        *cell = cells->cell[last];
        cells->heap[cell->heap_at] = at;
        map_set(&cells->by_key, key_of(cell->owner, cell->label), at);
    }
}

void atoll_cells_add(atoll_cells *cells, uint32_t owner_number, uint32_t label, uint32_t slot, uint64_t seen)
{
    atoll_cell *cell = find(cells, owner_number, label);
    if (!cell)
        cell = cell_new(cells, owner_number, label);
    assert(seen && cell->count < cell->capacity && slot < cells->places);
    cells->place[slot] = cell->count;
    cell->members[cell->count++] = slot;
    cell->seen += seen;
    cells->members++;
    owner_of(cells, owner_number)->exemplars++;
    heap_mend(cells, cell->heap_at);
}

void atoll_cells_remove(atoll_cells *cells, uint32_t owner_number, uint32_t label, uint32_t slot, uint64_t seen)
{
    atoll_cell *cell = find(cells, owner_number, label);
    assert(cell && cell->members[cells->place[slot]] == slot);
    uint32_t last = cell->members[--cell->count];
    cell->members[cells->place[slot]] = last;
    cells->place[last] = cells->place[slot];
    cells->members--;
    owner_of(cells, owner_number)->exemplars--;
    cell->seen = cell->seen - cell->count < seen ? cell->count : cell->seen - seen;
    if (!cell->count) {
        cell_drop(cells, cell);
        return;
    }
    if (cell->count < cell->capacity / 4 && cell->capacity > FIRST_MEMBERS) {
        uint32_t *members = realloc(cell->members, cell->capacity / 2 * sizeof *members);
        if (members) {
            cell->members = members;
            cells->member_room -= cell->capacity - cell->capacity / 2;
            cell->capacity /= 2;
        }
    }
    heap_mend(cells, cell->heap_at);
}

void atoll_cells_saw(atoll_cells *cells, uint32_t owner_number, uint32_t label)
{
    find(cells, owner_number, label)->seen++;
}

uint32_t atoll_cells_count(const atoll_cells *cells)
{
    return cells->members;
}

uint32_t atoll_cells_owned(const atoll_cells *cells, uint32_t owner_number)
{
    const owner *o = owner_of(cells, owner_number);
    return o ? o->exemplars : 0;
}

uint64_t atoll_cells_bytes(const atoll_cells *cells)
{
    uint64_t map_places = (uint64_t)cells->by_key.capacity + cells->by_owner.capacity;
    uint64_t words = cells->capacity + cells->member_room + cells->places + (cells->spare ? FIRST_MEMBERS : 0);
    return sizeof *cells + cells->capacity * sizeof(atoll_cell) + cells->owner_capacity * sizeof(owner) +
           map_places * (sizeof(uint64_t) + sizeof(uint32_t)) + words * sizeof(uint32_t);
}

uint32_t atoll_cells_place(const atoll_cells *cells, uint32_t owner_number, uint32_t label, uint32_t slot)
{
    const atoll_cell *cell = find(cells, owner_number, label);
    if (!cell || slot >= cells->places || cells->place[slot] >= cell->count)
        return UINT32_MAX;
    return cell->members[cells->place[slot]] == slot ? cells->place[slot] : UINT32_MAX;
}

/* --- saving --- */

/* One saved cell; its members follow. Little endian, as the machines that this is built for. */
typedef struct saved_cell {
    uint64_t seen;
    uint32_t owner, label, count, padding;
} saved_cell;

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "saved numbers are little endian");

size_t atoll_cells_saved_bytes(const atoll_cells *cells)
{
    return sizeof(uint32_t) + cells->count * sizeof(saved_cell) + cells->members * sizeof(uint32_t);
}

void atoll_cells_save(const atoll_cells *cells, void *out)
{
    unsigned char *to = out;
    memcpy(to, &cells->count, sizeof cells->count);
    to += sizeof cells->count;
    for (uint32_t i = 0; i < cells->count; i++) {
        const atoll_cell *cell = &cells->cell[i];
        saved_cell saved = {cell->seen, cell->owner, cell->label, cell->count, 0};
        memcpy(to, &saved, sizeof saved);
        to += sizeof saved;
        memcpy(to, cell->members, cell->count * sizeof *cell->members);
        to += cell->count * sizeof *cell->members;
    }
}

/* One cell and its members. `taken` marks slots that a cell before it holds. */
static atoll_status load_cell(atoll_cells *cells, const saved_cell *saved, const unsigned char *members,
                              unsigned char *taken, uint32_t slots, atoll_error *error)
{
    if (!saved->count || saved->seen < saved->count || find(cells, saved->owner, saved->label))
        return atoll_fail(error, ATOLL_DAMAGED, "cell (%u, %u) cannot be", saved->owner, saved->label);
    for (uint32_t i = 0; i < saved->count; i++) {
        uint32_t slot;
        memcpy(&slot, members + i * sizeof slot, sizeof slot);
        if (slot >= slots || taken[slot])
            return atoll_fail(error, ATOLL_DAMAGED, "cell (%u, %u) has a bad member", saved->owner, saved->label);
        taken[slot] = 1;
        if (atoll_cells_reserve(cells, saved->owner, saved->label, slot, error) != ATOLL_OK)
            return ATOLL_NO_MEMORY;
        atoll_cells_add(cells, saved->owner, saved->label, slot, 1);
    }
    find(cells, saved->owner, saved->label)->seen = saved->seen;
    return ATOLL_OK;
}

static atoll_status load_all(atoll_cells *cells, const unsigned char *in, size_t bytes, unsigned char *taken,
                             uint32_t slots, atoll_error *error)
{
    uint32_t count;
    memcpy(&count, in, sizeof count);
    size_t at = sizeof count;
    for (uint32_t i = 0; i < count; i++) {
        saved_cell saved;
        if (bytes - at < sizeof saved)
            return atoll_fail(error, ATOLL_DAMAGED, "the cells end early");
        memcpy(&saved, in + at, sizeof saved);
        at += sizeof saved;
        if ((bytes - at) / sizeof(uint32_t) < saved.count)
            return atoll_fail(error, ATOLL_DAMAGED, "the cells end early");
        atoll_status status = load_cell(cells, &saved, in + at, taken, slots, error);
        if (status != ATOLL_OK)
            return status;
        at += saved.count * sizeof(uint32_t);
    }
    if (at != bytes)
        return atoll_fail(error, ATOLL_DAMAGED, "%zu bytes follow the cells", bytes - at);
    return ATOLL_OK;
}

atoll_status atoll_cells_load(atoll_cells *cells, const void *blob, size_t bytes, uint32_t slots, atoll_error *error)
{
    assert(!cells->count);
    uint32_t count;
    if (bytes < sizeof count)
        return atoll_fail(error, ATOLL_DAMAGED, "the cells end early");
    memcpy(&count, blob, sizeof count);
    if (count > bytes / sizeof(saved_cell))
        return atoll_fail(error, ATOLL_DAMAGED, "%u cells in %zu bytes", count, bytes);
    unsigned char *taken = calloc(slots + 1u, 1);
    atoll_status status = ATOLL_NO_MEMORY;
    if (taken)
        status = load_all(cells, blob, bytes, taken, slots, error);
    else
        atoll_fail(error, status, "no memory to read %u cells", count);
    free(taken);
    return status;
}

/* --- the verifier --- */

static const char *cell_fault(const atoll_cells *cells, uint32_t at)
{
    const atoll_cell *cell = &cells->cell[at];
    if (!cell->count || cell->count > cell->capacity)
        return "has no members or too many";
    if (cell->seen < cell->count)
        return "has seen fewer records than it holds";
    if (find(cells, cell->owner, cell->label) != cell)
        return "is not found by its key";
    if (cell->heap_at >= cells->count || cells->heap[cell->heap_at] != at)
        return "is not where it stands in the heap";
    if (cell->heap_at && larger(cells, at, cells->heap[(cell->heap_at - 1) / 2]))
        return "is larger than the one above it in the heap";
    for (uint32_t i = 0; i < cell->count; i++)
        if (cell->members[i] >= cells->places || cells->place[cell->members[i]] != i)
            return "has a member that stands elsewhere";
    return NULL;
}

atoll_status atoll_cells_verify(const atoll_cells *cells, atoll_error *error)
{
    uint64_t members = 0, room = 0, owned = 0;
    for (uint32_t i = 0; i < cells->count; i++) {
        const atoll_cell *cell = &cells->cell[i];
        const char *fault = cell_fault(cells, i);
        if (fault)
            return atoll_fail(error, ATOLL_DAMAGED, "cell (%u, %u) %s", cell->owner, cell->label, fault);
        members += cell->count;
        room += cell->capacity;
    }
    for (uint32_t i = 0; i < cells->owner_count; i++) {
        const owner *o = &cells->owners[i];
        if (owner_of(cells, o->number) != o)
            return atoll_fail(error, ATOLL_DAMAGED, "owner %u is not found by its number", o->number);
        owned += o->exemplars;
    }
    if (members != cells->members || room != cells->member_room || owned != members)
        return atoll_fail(error, ATOLL_DAMAGED, "%u members are counted, %ju are there", cells->members,
                          (uintmax_t)members);
    return ATOLL_OK;
}
