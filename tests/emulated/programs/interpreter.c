/* Stands in for a dynamic linker: says whether it was given what one needs. */

#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <sys/auxv.h>

int main(int argc, char **argv) {
    const ElfW(Phdr) *row = (const ElfW(Phdr) *)getauxval(AT_PHDR);
    unsigned long count = getauxval(AT_PHNUM), entry = getauxval(AT_ENTRY);
    unsigned long base = 0, inside = 0;
    for (unsigned long i = 0; i < count; i++)
        if (row[i].p_type == PT_PHDR)
            base = (unsigned long)row - row[i].p_vaddr;
    for (unsigned long i = 0; i < count; i++)
        if (row[i].p_type == PT_LOAD && row[i].p_flags & PF_X)
            inside |= entry - base - row[i].p_vaddr < row[i].p_memsz;
    printf("%d %s %lu %d\n", argc, argv[argc - 1], inside,
           getauxval(AT_BASE) != base && entry != (unsigned long)&main);
    return 0;
}
