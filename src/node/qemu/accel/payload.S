# A kernel that only says that it runs: what the accelerator self-test boots where no Linux kernel is at hand.
#
# It is loaded like one (Linux boot protocol, `-kernel`), takes the way that every 64-bit kernel takes (real mode,
# protected mode, page tables, model-specific registers, long mode), does enough work in long mode that a
# hypervisor which interprets instructions one by one runs out of time, catches a page fault and an interrupt of
# the local APIC's timer, and prints one line on COM1.
#
#   as payload.S -o payload.o && ld -Ttext=0 -e 0 --oformat=binary payload.o -o payload.bin
#
# tests/accel.rs checks that payload.bin is this file assembled.

	.text
	.code16
setup:					# loaded at 0x10000, entered at 0x10200
	.org	0x1f1
	.byte	2			# sectors of setup after the first
	.word	0			# root flags
	.long	1			# size of the protected-mode code, in 16 bytes
	.word	0, 0xffff, 0
	.word	0xaa55
	.byte	0xeb, start - 0x202	# jump over the header
	.ascii	"HdrS"
	.word	0x0206			# version of the boot protocol
	.long	0
	.word	0x1000, 0
	.byte	0
	.byte	1			# protected-mode code goes to 0x100000
	.word	0
	.long	0x100000
	.long	0, 0			# no initial RAM disk
	.word	0, 0
	.long	0			# command line
	.long	0x37ffffff		# highest address of an initial RAM disk
	.long	0
	.byte	0, 0
	.word	0
	.long	255			# longest command line

	.equ	base, 0x10000		# where this file is in memory
	.equ	tables, 0x20000		# page tables: level 4, level 3, level 2
	.equ	gates, 0x23000		# interrupt descriptors

start:	cli
	xorw	%ax, %ax
	movw	%ax, %ds
	inb	$0x92, %al		# A20
	orb	$2, %al
	outb	%al, $0x92
	movb	$0xff, %al		# the old interrupt controllers stay silent
	outb	%al, $0x21
	outb	%al, $0xa1
	movw	$0x1000, %ax
	movw	%ax, %ds
	lgdtl	gdtr
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	ljmpl	$8, $(base + protected)

	.code32
protected:
	movw	$16, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	$0x1f000, %esp
	movl	$tables, %edi		# clear tables and gates
	movl	$0x1000, %ecx
	xorl	%eax, %eax
	cld
	rep stosl
	movl	$(tables + 0x1003), tables
	movl	$(tables + 0x2003), tables + 0x1000
	movl	$0x83, tables + 0x2000	# at 0: the first 2 MiB
	movl	$0xfee0009b, tables + 0x2010	# at 4 MiB: the local APIC, not cached
	movl	%cr4, %eax
	orl	$0x6a0, %eax		# physical address extension, global pages, SSE
	movl	%eax, %cr4
	movl	$tables, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx	# EFER: long mode, no-execute
	rdmsr
	orl	$0x900, %eax
	wrmsr
	movl	%cr0, %eax
	andl	$0xfffffffb, %eax
	orl	$0x80010002, %eax	# paging, write protection, coprocessor
	movl	%eax, %cr0
	ljmpl	$24, $(base + long)

	.code64
long:	movw	$16, %ax
	movw	%ax, %ss
	movl	$0x1f000, %esp

	movl	$0xc0000101, %ecx	# GS base, there and back through swapgs
	movl	$0x12345678, %eax
	xorl	%edx, %edx
	wrmsr
	swapgs
	swapgs
	rdmsr
	cmpl	$0x12345678, %eax
	jne	halt

	movl	$0x277, %ecx		# page attribute table
	rdmsr
	wrmsr

	movl	$(base + fault), %eax	# page fault and timer
	movl	$(gates + 14 * 16), %edi
	call	gate
	movl	$(base + tick), %eax
	movl	$(gates + 32 * 16), %edi
	call	gate
	lidt	base + idtr

	xorl	%ebx, %ebx
	movq	0x800000, %rax		# not present: the handler puts a page there
	cmpl	$1, %ebx
	jne	halt

	movl	$50000000, %ecx		# work, with vectors
	pxor	%xmm0, %xmm0
	movl	$1, %eax
	movd	%eax, %xmm1
1:	paddq	%xmm1, %xmm0
	addq	%rcx, %rsi
	rorq	$7, %rsi
	decl	%ecx
	jnz	1b
	movd	%xmm0, %eax
	cmpl	$50000000, %eax
	jne	halt

	movl	$0x1b, %ecx		# the local APIC, through the mapping at 4 MiB
	rdmsr
	btl	$11, %eax
	jnc	halt
	movl	$0x1ff, 0x4000f0	# switched on
	movl	$0xb, 0x4003e0		# divided by 1
	movl	$32, 0x400320		# once, vector 32
	movl	$100000, 0x400380
	sti
2:	hlt
	cmpl	$2, %ebx
	jne	2b

	movl	$(base + words), %esi
	movw	$0x3f8, %dx
3:	lodsb
	testb	%al, %al
	jz	halt
	outb	%al, %dx
	jmp	3b
halt:	cli
	hlt
	jmp	halt

gate:	movw	%ax, (%rdi)		# offset, code segment, interrupt gate
	movw	$24, 2(%rdi)
	movw	$0x8e00, 4(%rdi)
	shrl	$16, %eax
	movl	%eax, 6(%rdi)
	ret

fault:	movl	$0x200083, tables + 0x2020	# 8 MiB onto 2 MiB
	incl	%ebx
	addq	$8, %rsp
	iretq

tick:	incl	%ebx
	movl	$0, 0x4000b0		# end of interrupt
	iretq

words:	.ascii	"\r\nDRYRACK 64-bit kernel runs\r\n\0"
	.balign	8
gdt:	.quad	0
	.quad	0x00cf9a000000ffff	# 32-bit code
	.quad	0x00cf92000000ffff	# data
	.quad	0x00af9a000000ffff	# 64-bit code
gdtr:	.word	. - gdt - 1
	.long	base + gdt
idtr:	.word	33 * 16 - 1
	.quad	gates
	.org	0x600			# setup ends; 16 bytes of protected-mode code that nobody enters
	.fill	16, 1, 0xf4
