/* template_source.c - Jinja sources: which of the templates one is, and one of our own for each. */
#include "template.h"
#include "../../server/base/crypto.h"

#define TURN "'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n'"

#define PROMPT "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

#define CHATML(system) "{% for message in messages %}" system "{{ " TURN " }}{% endfor %}" PROMPT
#define SYSTEM(text)                                                                               \
    "{% if loop.first and message['role'] != 'system' %}{{ '<|im_start|>system\\n" text            \
    "<|im_end|>\\n' }}{% endif %}"
/* Consecutive tools' answers are one user turn. */
#define TOOL                                                                                       \
    "{% if loop.first or messages[loop.index0 - 1]['role'] != 'tool' %}"                           \
    "{{ '<|im_start|>user' }}{% endif %}"                                                          \
    "{{ '\\n<tool_response>\\n' + message['content'] + '\\n</tool_response>' }}"                   \
    "{% if loop.last or messages[loop.index0 + 1]['role'] != 'tool' %}"                            \
    "{{ '<|im_end|>\\n' }}{% endif %}"

static const char *const sources[TEMPLATE_COUNT] = {
    [TEMPLATE_RAW] = "{% for message in messages %}{% if not loop.first %}{{ '\\n\\n' }}{% endif %}"
                     "{{ message['content'] }}{% endfor %}"
                     "{% if add_generation_prompt %}{{ '\\n\\n' }}{% endif %}",
    [TEMPLATE_HUMAN] =
        "{% for message in messages %}{% if message['role'] == 'user' %}{{ '\\n\\nHuman: ' }}"
        "{% elif message['role'] == 'assistant' %}{{ '\\n\\nAssistant: ' }}{% endif %}"
        "{{ message['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '\\n\\nAssistant:' }}{% endif %}",
    [TEMPLATE_CHATML] = CHATML(""),
    [TEMPLATE_CHATML_SMOLLM] =
        CHATML(SYSTEM("You are a helpful AI assistant named SmolLM, trained by Hugging Face")),
    [TEMPLATE_QWEN2] = CHATML(SYSTEM("You are a helpful assistant.")),
    [TEMPLATE_QWEN25] = "{% for message in messages %}" SYSTEM(
        "You are Qwen, created by Alibaba Cloud. You are a "
        "helpful assistant.") "{% if message['role'] == "
                              "'tool' %}" TOOL "{% else %}{{ " TURN " }}{% endif %}{% endfor "
                              "%}" PROMPT,
    [TEMPLATE_QWEN3] =
        "{% set ns = namespace(query=messages|length - 1) %}{% for message in messages %}"
        "{% if message['role'] == 'user' and not (message['content'].startswith('<tool_response>')"
        " and message['content'].endswith('</tool_response>')) %}"
        "{% set ns.query = loop.index0 %}{% endif %}{% endfor %}"
        "{% for message in messages %}{% if message['role'] == 'tool' %}" TOOL
        "{% elif message['role'] == 'assistant' %}"
        "{% set content = message['content'] %}{% set thoughts = '' %}"
        "{% if '</think>' in content %}"
        "{% set thoughts = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1]"
        ".strip('\\n') %}"
        "{% set content = content.split('</think>')[-1].lstrip('\\n') %}{% endif %}"
        "{{ '<|im_start|>assistant\\n' }}"
        "{% if loop.index0 > ns.query and (loop.last or thoughts) %}"
        "{{ '<think>\\n' + thoughts + '\\n</think>\\n\\n' + content.lstrip('\\n') }}"
        "{% else %}{{ content }}{% endif %}{{ '<|im_end|>\\n' }}"
        "{% else %}{{ " TURN " }}{% endif %}{% endfor %}" PROMPT,
    [TEMPLATE_LLAMA3] =
        "{% for message in messages %}{% if loop.first %}{{ '<|begin_of_text|>' }}{% endif %}"
        "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}"
        "{{ message['content'] | trim }}{{ '<|eot_id|>' }}{% endfor %}"
        "{% if add_generation_prompt %}"
        "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
};

const char *template_source(ChatTemplate chat)
{
    return sources[chat];
}

/* BLAKE2b-256 of sources as published, without a line end at the end. The simple ones are found
 * both with line ends in their strings and with \n. */
static const struct {
    const char *hash;
    ChatTemplate chat;
} published[] = {
    {"ef0829bf42c538a9bbd234c9664d95d9504fb8e6939b293dea2c595107b35170",
     TEMPLATE_QWEN25}, /* Qwen2.5 */
    {"9f5090d79b6197a19b77603444b9cf5282ab6ca2ca628f365f76bd94ce22418d",
     TEMPLATE_QWEN3}, /* Qwen3 (2025-04) */
    {"b9dfc3e866d8e1360059a0d3bb3094ef035279d0a5bdb60bab369537cf0b9ece",
     TEMPLATE_QWEN3}, /* Qwen3 (2025-07) */
    {"d3a0def017a2375da38d22f044e3ec02719b4733de9697f5dd023c0480456d6a",
     TEMPLATE_CHATML}, /* Qwen3-Instruct-2507 */
    {"05facb19f527d33e1ba2066abb9656dc46ff7f61a33d5419bbd0f773d3519478",
     TEMPLATE_LLAMA3}, /* Llama-3 */
    {"fa98af1438b315b19a43afaff38f0474a3cbcae6e8bead3aea4ab7d8d841e8ca",
     TEMPLATE_LLAMA3}, /* Llama-3 */
    {"786dc803909c78d9d03264ecb6d82c6bcbbe28070b7e342b474af75e0d1c93db",
     TEMPLATE_CHATML_SMOLLM}, /* SmolLM2 */
    {"fc25cbbc1058cef0be97e799f5d68b257a6598c66752487c3d8613284493ac46",
     TEMPLATE_CHATML_SMOLLM}, /* SmolLM2 */
    {"7cb398e81113b4aee262bd9621f9186062cf6d071f87ac2c0f735f064e2a3e50",
     TEMPLATE_QWEN2}, /* Qwen2 */
    {"896ac243b6a3cc09bb12e5e8b9f207e2b543f4c6163d26f23af06ee44dff2fa4",
     TEMPLATE_QWEN2}, /* Qwen2 */
    {"0332292c2f448851f0f940cae40205853d1b1d865ebe72b729a31ba79104137f",
     TEMPLATE_QWEN2}, /* Qwen2.5's base models: as Qwen2 but for tools, whose role qwen2 refuses */
    {"827b1b44d7e035c3f79e595cfd2472e7f08a2764ccbb98d1d4e95d96f882ae0b",
     TEMPLATE_CHATML}, /* ChatML */
    {"77a24678cebb3390e9502036ce9564cb538d26bf99d15145d6943eee367fce73",
     TEMPLATE_CHATML}, /* ChatML */
};

bool template_recognise(Str jinja, ChatTemplate *out)
{
    char hash[2 * CRYPTO_HASH_BYTES + 1];
    uint8_t digest[CRYPTO_HASH_BYTES];
    if (jinja.len > 0 && jinja.ptr[jinja.len - 1] == '\n') jinja.len--; /* Jinja drops it too */
    for (int i = 0; i < TEMPLATE_COUNT; i++) {
        if (!str_is(jinja, sources[i])) continue;
        *out = (ChatTemplate)i;
        return true;
    }
    crypto_hash(digest, jinja, NULL);
    crypto_hex(hash, digest, sizeof digest);
    for (size_t i = 0; i < LEN(published); i++) {
        if (strcmp(hash, published[i].hash) != 0) continue;
        *out = published[i].chat;
        return true;
    }
    return false;
}
