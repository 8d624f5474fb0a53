#include "retrieval/blocks.h"

#include <stdlib.h>
#include <string.h>

#include "retrieval/large.h"

enum {
    BLOCK = ATOLL_SCAN_BLOCK,
    PIECE = 1 << 17 /* bytes of blocks that are taken at a time */
};

static atoll_status no_memory(atoll_error *error)
{
    return atoll_fail(error, ATOLL_NO_MEMORY, "no memory for lists");
}

atoll_status atoll_blocks_init(atoll_blocks *blocks, uint32_t lists, uint32_t pairs, atoll_error *error)
{
    uint32_t block_bytes = BLOCK * (pairs + (uint32_t)sizeof(uint32_t));
    *blocks = (atoll_blocks){.lists = lists, .pairs = pairs, .piece_blocks = PIECE / block_bytes,
                             .block_bytes = block_bytes, .list = malloc(lists * sizeof *blocks->list)};
    if (!blocks->list)
        return no_memory(error);
    for (uint32_t i = 0; i < lists; i++)
        blocks->list[i] = (atoll_block_list){ATOLL_BLOCKS_NONE, ATOLL_BLOCKS_NONE, 0};
    return ATOLL_OK;
}

void atoll_blocks_clear(atoll_blocks *blocks)
{
    for (uint32_t i = 0; i < blocks->pieces; i += atoll_large_together(PIECE, i))
        free(blocks->piece[i]);
    free(blocks->piece);
    free(blocks->next);
    free(blocks->list);
    *blocks = (atoll_blocks){0};
}

uint64_t atoll_blocks_bytes(const atoll_blocks *blocks)
{
    return (uint64_t)blocks->pieces * (PIECE + sizeof *blocks->piece) + blocks->room * sizeof *blocks->next +
           blocks->lists * sizeof *blocks->list;
}

static atoll_status add_pieces(atoll_blocks *blocks, atoll_error *error)
{
    uint32_t many = atoll_large_together(PIECE, blocks->pieces);
    uint8_t **piece = realloc(blocks->piece, (blocks->pieces + (size_t)many) * sizeof *piece), *memory;
    if (!piece)
        return no_memory(error);
    blocks->piece = piece;
    if (!(memory = atoll_large_piece(PIECE, blocks->pieces)))
        return no_memory(error);
    for (uint32_t i = 0; i < many; i++)
        blocks->piece[blocks->pieces++] = memory + (size_t)i * PIECE;
    return ATOLL_OK;
}

/* A block for the end of the list. What it holds yet is read, but means nothing. */
static atoll_status add_block(atoll_blocks *blocks, atoll_block_list *list, atoll_error *error)
{
    uint32_t block = blocks->count;
    if (block == blocks->room) {
        uint32_t room = blocks->room + blocks->room / 2 + blocks->piece_blocks;
        uint32_t *next = realloc(blocks->next, room * sizeof *next);
        if (!next)
            return no_memory(error);
        blocks->next = next;
        blocks->room = room;
    }
    atoll_status status = block / blocks->piece_blocks == blocks->pieces ? add_pieces(blocks, error) : ATOLL_OK;
    if (status != ATOLL_OK)
        return status;
    memset((uint8_t *)(uintptr_t)atoll_blocks_at(blocks, block), 0, blocks->block_bytes);
    blocks->next[block] = ATOLL_BLOCKS_NONE;
    if (list->tail == ATOLL_BLOCKS_NONE)
        list->head = block;
    else
        blocks->next[list->tail] = block;
    list->tail = block;
    blocks->count++;
    return ATOLL_OK;
}

atoll_status atoll_blocks_add(atoll_blocks *blocks, uint32_t list, uint32_t number, const uint8_t *code,
                              atoll_error *error)
{
    atoll_block_list *to = &blocks->list[list];
    uint32_t at = to->count % BLOCK;
    atoll_status status = at ? ATOLL_OK : add_block(blocks, to, error);
    if (status != ATOLL_OK)
        return status;
    uint8_t *block = (uint8_t *)(uintptr_t)atoll_blocks_at(blocks, to->tail);
    for (uint32_t p = 0; p < blocks->pairs; p++)
        block[p * BLOCK + at] = code[p];
    ((uint32_t *)(uintptr_t)atoll_blocks_numbers_of(blocks, block))[at] = number;
    to->count++;
    return ATOLL_OK;
}

/* The block of a list that holds its vector number `from`. */
static uint32_t block_of(const atoll_blocks *blocks, uint32_t list, uint32_t from)
{
    uint32_t block = blocks->list[list].head;
    for (uint32_t skip = from / BLOCK; skip; skip--)
        block = blocks->next[block];
    return block;
}

void atoll_blocks_numbers(const atoll_blocks *blocks, uint32_t list, uint32_t from, uint32_t count, int64_t *number)
{
    uint32_t block = count ? block_of(blocks, list, from) : 0;
    for (uint32_t i = from; i < from + count; i++) {
        number[i - from] = atoll_blocks_numbers_of(blocks, atoll_blocks_at(blocks, block))[i % BLOCK];
        block = i % BLOCK + 1 == BLOCK ? blocks->next[block] : block;
    }
}

void atoll_blocks_codes(const atoll_blocks *blocks, uint32_t list, uint32_t from, uint32_t count, uint8_t *code)
{
    uint32_t block = count ? block_of(blocks, list, from) : 0;
    for (uint32_t i = from; i < from + count; i++) {
        for (uint32_t p = 0; p < blocks->pairs; p++)
            *code++ = atoll_blocks_at(blocks, block)[p * BLOCK + i % BLOCK];
        block = i % BLOCK + 1 == BLOCK ? blocks->next[block] : block;
    }
}
