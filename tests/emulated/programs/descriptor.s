# ELFv1: the entry and a handler are known by descriptors, of address, TOC and nothing.
# Prints the TOC's text from the handler, then ends with the status that the entry's has.
        .data
        .balign 8
        .globl _start
_start: .quad begin, text, 0
handler: .quad handle, other, 0
text:   .ascii "begin\n"
other:  .ascii "handle\n"
action: .quad handler, 0, 0, 0
        .text
begin:  mr 31, 2
        li 0, 4                 # write(1, r2, 6)
        li 3, 1
        mr 4, 2
        li 5, 6
        sc
        li 0, 173               # rt_sigaction(SIGUSR1, action, 0, 8)
        li 3, 10
        lis 4, action@ha
        addi 4, 4, action@l
        li 5, 0
        li 6, 8
        sc
        li 0, 20                # kill(getpid(), SIGUSR1)
        sc
        li 0, 37
        li 4, 10
        sc
        subf 3, 31, 2           # exit(r2 is as before ? 0 : not)
        li 0, 1
        sc
handle: li 0, 4                 # write(1, r2, 7)
        li 3, 1
        mr 4, 2
        li 5, 7
        sc
        li 2, 0
        blr
