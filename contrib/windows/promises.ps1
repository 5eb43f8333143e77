#Requires -Version 5.1
#Requires -RunAsAdministrator
<#
.SYNOPSIS
Checks the promises of docs/windows.md on a real Windows, and prints one line for each.

.DESCRIPTION
Makes virtual disks (FAT32, exFAT, NTFS), a disc image and a standard user, starts programs that hold files, and
runs unmoor.exe. Everything it made is removed afterwards. No other drive is touched: --all-removable runs
with --dry-run only. The ids are those of the rig (crates/windows-rig). A virtual disk is detached where a
stick would be ejected. What needs a USB bus, a tray or a faulty driver is skipped, with the reason.

.EXAMPLE
.\promises.ps1 -Program unmoor.exe -Holder hold.exe -Filter 'recipe/*'
#>
[CmdletBinding()]
param(
    # unmoor.exe
    [Parameter(Mandatory = $true)] [string] $Program,
    # hold.exe: cargo build --package unmoor --example hold
    [Parameter(Mandatory = $true)] [string] $Holder,
    # Only the promises whose id matches
    [string] $Filter = '*'
)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

. "$PSScriptRoot\fixtures.ps1"

# --- Promises ---------------------------------------------------------------------------------------------------

# Checks that a name means this disk.
function Assert-Names($Disk, [string] $Target) {
    $document = Invoke-UnmoorJson 0 @('eject', '--dry-run', $Target)
    Assert-That ($document.targets[0].drive.path -eq "\\.\$($Disk.Name)") "$Target is $($Disk.Name)"
}

function Test-Recipe {
    Test-Promise 'recipe/order' {
        foreach ($system in 'fat32', 'exfat', 'ntfs') {
            $disk = New-Disk $system
            $steps = (Invoke-UnmoorJson 0 @('eject', $disk.Letter)).targets[0].steps
            $done = @($steps | Where-Object { $_.status -eq 'done' } | ForEach-Object { $_.step })
            Assert-That (($done -join ' ') -like '*flush lock dismount eject*') "$system`: order, but $done"
            Assert-That (-not (Test-Attached $disk)) "$system`: detached"
            Mount-DiskImage -ImagePath $disk.File | Out-Null
            Assert-Mounted $disk.Letter
        }
    }
    Test-Promise 'recipe/unlock' {
        $disk = New-Disk fat32
        $steps = (Invoke-UnmoorJson 0 @('eject', '--dismount-only', $disk.Letter)).targets[0].steps
        $done = @($steps | Where-Object { $_.step -eq 'unlock' -and $_.status -eq 'done' })
        Assert-That ($done.Count -eq 1) 'unlock was done'
        Assert-Mounted $disk.Letter
    }
    Test-Promise 'recipe/disc-not-flushed' {
        $disc = New-Disc
        $steps = (Invoke-UnmoorJson 0 @('eject', $disc.Letter)).targets[0].steps
        $skipped = @($steps | Where-Object { $_.step -eq 'flush' -and $_.status -eq 'skipped' })
        Assert-That ($skipped.Count -eq 1) 'flush was skipped'
    }
    Test-Promise 'recipe/lock-refused-while-open' {
        $disk = New-Disk fat32
        Start-Holder 'read', "$($disk.Letter)\letter.txt"
        $result = Invoke-Unmoor 3 @('eject', $disk.Letter)
        Assert-Says $result 'hold.exe'
        Assert-Says $result "$($disk.Letter)\letter.txt"
        Assert-Mounted $disk.Letter
    }
    Test-Promise 'recipe/lock-granted-after-close' {
        $disk = New-Disk fat32
        $held = Start-Holder 'read', "$($disk.Letter)\letter.txt"
        $process = Start-Unmoor 'eject', '--wait', '30s', $disk.Letter
        Start-Sleep -Seconds 12
        Stop-Holder $held
        Wait-Unmoor $process 0
    }
    Test-Promise 'recipe/force' {
        $disk = New-Disk fat32
        $held = Start-Holder 'write', "$($disk.Letter)\held.txt"
        Invoke-Unmoor 0 @('eject', '--force', '--dismount-only', $disk.Letter)
        $said = Stop-Holder $held
        Assert-That ($said -match 'code: 21\b') "the old handle answers ERROR_NOT_READY, but '$said'"
    }
    Test-Promise 'recipe/no-unlock-without-lock' {
        $disk = New-Disk fat32
        Start-Holder 'read', "$($disk.Letter)\letter.txt"
        $result = Invoke-Unmoor 0 @('eject', '--force', '-v', '--dismount-only', $disk.Letter)
        Assert-NeverSays $result '158'
    }
    Test-Promise 'recipe/dismount-only' {
        $disk = New-Disk ntfs
        Invoke-Unmoor 0 @('eject', '--dismount-only', $disk.Letter)
        Assert-That (Test-Attached $disk) 'still attached'
    }
    Test-Promise 'recipe/offline' {
        $disk = New-Disk fat32
        Invoke-Unmoor 0 @('eject', '--dismount-only', '--offline', $disk.Letter)
        Assert-That (-not (Test-Path "$($disk.Letter)\letter.txt")) 'not mounted'
    }
    Test-Promise 'recipe/remount' {
        $disk = New-Disk fat32
        Invoke-Unmoor 0 @('eject', '--dismount-only', '--offline', $disk.Letter)
        Invoke-Unmoor 0 @('remount', $disk.Letter)
        Assert-Mounted $disk.Letter
    }
    Test-Promise 'recipe/volumes-all' {
        $disk = New-Disk 'fat32', 'ntfs-'
        $target = (Invoke-UnmoorJson 0 @('eject', $disk.Letter)).targets[0]
        Assert-That (@($target.drive.volumes).Count -eq 2) 'two volumes'
        Assert-That (-not (Test-Attached $disk)) 'detached'
    }
    Test-Promise 'recipe/volumes-none' {
        $disk = New-Disk 'fat32', 'ntfs'
        Start-Holder 'read', "$($disk.Letters[1])\letter.txt"
        Invoke-Unmoor 3 @('eject', $disk.Letter)
        $disk.Letters | ForEach-Object { Assert-Mounted $_ }
    }
    Test-Promise 'recipe/spanned-refused' {
        $one = New-Disk @(); $two = New-Disk @(); $letter = @(Get-FreeLetters)[0]
        $lines = $one, $two | ForEach-Object { "select disk $($_.Number)"; 'convert dynamic' }
        $lines += "create volume stripe size=100 disk=$($one.Number),$($two.Number)"
        $lines += 'format fs=ntfs quick', "assign letter=$letter"
        Invoke-DiskPart $lines
        Invoke-Unmoor 3 @('eject', "$letter`:")
        Assert-That (Test-Attached $one) 'still attached'
    }
    Skip-Promise 'a standard user may open no virtual disk' 'recipe/flush-not-permitted'
    Skip-Promise 'the requests are not visible from outside' 'recipe/lock-on-read-handle'
    Skip-Promise 'needs a file system driver that refuses' 'recipe/force-after-any-refusal'
    Skip-Promise 'needs a tray' 'recipe/load'
}

function Test-Locks {
    foreach ($case in @(@('lock/ntfs-not-this-users', 'ntfs'), @('lock/fat-not-this-users', 'fat32'))) {
        Test-Promise $case[0] {
            $disk = New-Disk $case[1]
            Assert-Says (Invoke-Unmoor 5 @('eject', $disk.Letter) -AsUser) 'administrator'
            Assert-Mounted $disk.Letter
        }
    }
    Test-Promise 'lock/held-by-other-program' {
        $disk = New-Disk fat32
        Start-Holder 'lock', "\\.\$($disk.Letter)"
        $result = Invoke-Unmoor 3 @('eject', $disk.Letter)
        Assert-Says $result 'locked'
        Assert-NeverSays $result 'as administrator'
    }
    Test-Promise 'lock/patience' {
        $disk = New-Disk fat32
        $held = Start-Holder 'read', "$($disk.Letter)\letter.txt"
        $process = Start-Unmoor 'eject', $disk.Letter
        Start-Sleep -Seconds 4
        Stop-Holder $held
        Wait-Unmoor $process 0
    }
    Test-Promise 'lock/own-current-directory' {
        $disk = New-Disk fat32
        Wait-Unmoor (Start-Unmoor 'eject', '.' -From "$($disk.Letter)\") 0
    }
    Test-Promise 'lock/raw-writer' {
        $disk = New-Disk @()
        Start-Holder 'device', "\\.\$($disk.Name)"
        Invoke-Unmoor 3 @('eject', $disk.Name)
        Assert-That (Test-Attached $disk) 'still attached'
    }
    Test-Promise 'lock/raw-writer-named' {
        $disk = New-Disk @()
        Start-Holder 'device', "\\.\$($disk.Name)"
        Assert-Says (Invoke-Unmoor 3 @('who', $disk.Name)) 'hold.exe'
    }
    Test-Promise 'lock/offline-disk' {
        $disk = New-Disk @()
        Set-Disk -Number $disk.Number -IsOffline $true
        Invoke-Unmoor @(1, 3) @('eject', '--power-off', $disk.Name)
        Assert-That (Test-Attached $disk) 'still attached'
    }
    Skip-Promise 'needs a burner at work' 'lock/burner'
    Skip-Promise 'needs a driver that does not answer' @(
        'name/slow-drive', 'name/volume-without-drive', 'dismount/remount-within-deadline',
        'lock/open-within-deadline', 'lock/slow-lock', 'eject/counter-within-deadline'
    )
    Skip-Promise 'the requests are not visible from outside' 'lock/one-handle', 'dismount/proved'
    Skip-Promise 'which program is first is a matter of luck' 'dismount/mounted-again'
    Skip-Promise 'needs a medium that is swapped' 'dismount/medium-swapped'
    Skip-Promise 'a page file needs a restart' 'dismount/page-file'
}

function Test-Who {
    foreach ($case in @(@('who/blocked-pipes', 'who'), @('who/blocked-pipes-while-waiting', 'eject'))) {
        Test-Promise $case[0] {
            $disk = New-Disk fat32
            # Each holder reads from a pipe, and waits there.
            1..20 | ForEach-Object { Start-Holder @() }
            Start-Holder 'read', "$($disk.Letter)\letter.txt"
            $result = Invoke-Unmoor 3 @($case[1], '-v', $disk.Letter)
            Assert-Says $result "$($disk.Letter)\letter.txt"
            Assert-NeverSays $result 'no answer'
        }
    }
    Test-Promise 'who/holder' {
        $disk = New-Disk ntfs
        Start-Holder 'write', "$($disk.Letter)\held.txt"
        $blocker = (Invoke-UnmoorJson 3 @('who', $disk.Letter)).targets[0].blockers[0]
        Assert-That ($blocker.process.name -eq 'hold.exe') "the process, but $($blocker.process.name)"
        Assert-That ($blocker.uses[0].path -eq "$($disk.Letter)\held.txt") "the path, but $($blocker.uses[0].path)"
        Assert-That ($blocker.uses[0].kind -eq 'open-for-writing') "the access, but $($blocker.uses[0].kind)"
    }
    Test-Promise 'who/volume-held' {
        $disk = New-Disk fat32
        Start-Holder 'read', "\\.\$($disk.Letter)"
        Assert-Says (Invoke-Unmoor 3 @('who', $disk.Letter)) 'hold.exe'
    }
    Test-Promise 'who/application' {
        $disk = New-Disk fat32
        $open = "[IO.File]::Open('$($disk.Letter)\letter.txt', 'Open')"
        $command = "`$file = $open; 'ready'; [Console]::In.ReadToEnd()"
        $shell = Start-Program 'powershell.exe' @('-NoProfile', '-Command', $command) $Folder
        $script:Holders += $shell
        $shell.StandardOutput.ReadLine()
        Assert-Says (Invoke-Unmoor 3 @('who', $disk.Letter)) 'Windows PowerShell'
    }
    Test-Promise 'who/protected-process' {
        $disk = New-Disk fat32
        Assert-Says (Invoke-Unmoor 5 @('who', $disk.Letter)) 'could not be inspected'
    }
    Test-Promise 'who/try-lock' {
        $disk = New-Disk fat32
        Assert-Says (Invoke-Unmoor 0 @('who', '--try-lock', $disk.Letter)) 'not in use'
        Assert-Mounted $disk.Letter
    }
    Test-Promise 'kill/asked' {
        $disk = New-Disk fat32
        $held = Start-Holder 'read', "$($disk.Letter)\letter.txt"
        Invoke-Unmoor 0 @('eject', '--kill', '--yes', $disk.Letter)
        Assert-That $held.HasExited 'hold.exe has ended'
    }
    Test-Promise 'kill/ended' {
        $disk = New-Disk fat32
        $held = Start-Holder 'stubborn', "$($disk.Letter)\held.txt"
        Invoke-Unmoor 0 @('eject', '--kill', '--yes', '--grace', '2s', $disk.Letter)
        Assert-That $held.HasExited 'hold.exe has ended'
    }
    Test-Promise 'kill/not-without-consent' {
        $disk = New-Disk fat32
        $held = Start-Holder 'write', "$($disk.Letter)\held.txt"
        Invoke-Unmoor @(2, 3) @('eject', '--kill', $disk.Letter)
        Assert-That ((Stop-Holder $held) -eq '') 'hold.exe could still write'
    }
}

function Test-Names {
    Test-Promise 'name/volume' {
        $disk = New-Disk fat32
        Assert-Names $disk (mountvol.exe $disk.Letter /L).Trim()
    }
    Test-Promise 'name/kernel' {
        $disk = New-Disk fat32
        $line = fltmc.exe volumes | Where-Object { $_ -match "^\s*$($disk.Letter)\s" }
        Assert-Names $disk ($line -replace '^.*?(\\Device\\\S+).*$', '$1')
    }
    Test-Promise 'name/physical-drive' { $disk = New-Disk fat32; Assert-Names $disk $disk.Name }
    Test-Promise 'name/cdrom' {
        $disc = New-Disc
        Invoke-Unmoor 0 @('eject', $disc.Name)
        Assert-That (-not (Test-Attached $disc)) 'detached'
    }
    Test-Promise 'name/mount-folder' {
        $disk = New-Disk fat32
        $mount = (New-Item -ItemType Directory -Path (Join-Path $Folder 'mount')).FullName
        mountvol.exe $mount (mountvol.exe $disk.Letter /L).Trim()
        try { Assert-Names $disk $mount } finally { mountvol.exe $mount /D; Remove-Item $mount }
    }
    Test-Promise 'name/label' { $disk = New-Disk fat32 -Label UNMOOR7; Assert-Names $disk 'LABEL=UNMOOR7' }
    Test-Promise 'name/subst' {
        $disk = New-Disk fat32; $letter = "$(@(Get-FreeLetters)[0]):"
        New-Item -ItemType Directory -Path "$($disk.Letter)\folder\sub"
        subst.exe $letter "$($disk.Letter)\folder"
        try { Assert-Names $disk "$letter\sub" } finally { subst.exe $letter /D }
    }
    Test-Promise 'name/device-id' {
        $disk = New-Disk fat32
        Assert-Names $disk (Get-CimInstance Win32_DiskDrive -Filter "Index=$($disk.Number)").PNPDeviceID
    }
    Test-Promise 'name/kernel-partition' {
        $disk = New-Disk fat32
        Assert-Names $disk "\Device\Harddisk$($disk.Number)\Partition1"
    }
    Test-Promise 'json/ascii' {
        $label = [string] [char] 0xDC + 'BER'
        $disk = New-Disk ntfs
        Set-Volume -DriveLetter $disk.Letter[0] -NewFileSystemLabel $label
        $output = (Invoke-Unmoor 0 @('list', '--json', $disk.Letter)).Output
        Assert-That ($output -notmatch '[^\x00-\x7F]') 'ASCII'
        Assert-That (($output | ConvertFrom-Json).drives[0].volumes[0].label -eq $label) 'the label'
    }
    Test-Promise 'name/pattern-label' { $disk = New-Disk fat32 -Label UNMOOR8; Assert-Names $disk 'unmo?r8' }
    Test-Promise 'name/several' {
        $one = New-Disk fat32 -Label UNMOOR9; $two = New-Disk fat32 -Label UNMOOR9
        Invoke-Unmoor 2 @('eject', 'UNMOOR9')
        Assert-That ((Test-Attached $one) -and (Test-Attached $two)) 'still attached'
    }
    Test-Promise 'name/pattern-several' {
        $one = New-Disk fat32 -Label UNMOORA; $two = New-Disk fat32 -Label UNMOORB
        Invoke-Unmoor 2 @('eject', 'UNMOOR?')
        Assert-That ((Test-Attached $one) -and (Test-Attached $two)) 'still attached'
    }
    Test-Promise 'text/code-page' {
        $disk = New-Disk ntfs
        Set-Volume -DriveLetter $disk.Letter[0] -NewFileSystemLabel ([string] [char] 0xDC + 'BER')
        $page = [Globalization.CultureInfo]::CurrentCulture.TextInfo.OEMCodePage
        $expected = $Text.GetString([Text.Encoding]::GetEncoding($page).GetBytes([string] [char] 0xDC + 'BER'))
        Assert-Says (Invoke-Unmoor 0 @('list', '-o', 'label', $disk.Letter)) $expected
    }
    Skip-Promise 'other disks of a virtual machine have the same model' 'name/model', 'name/pattern'
    Skip-Promise 'needs other rules or folders of the machine' @(
        'relocate/elevated', 'relocate/forbidden', 'relocate/temporary-on-drive'
    )
    Skip-Promise 'needs a program with a window' @('who/window-title')
    Skip-Promise 'needs a user that no program can find' @('who/try-lock-refused')
    Skip-Promise 'needs VeraCrypt' @(
        'name/container', 'image/container-named', 'image/container-dismounted', 'image/container-in-use'
    )
}

function Test-Devices {
    foreach ($id in 'all-removable/image', 'all-removable/virtual-machine') {
        Test-Promise $id {
            $disk = New-Disk fat32; $disc = New-Disc
            $targets = @((Invoke-UnmoorJson @(0, 4) @('eject', '--all-removable', '--dry-run')).targets)
            $drives = @($targets | Where-Object { $_.drive } | ForEach-Object { $_.drive })
            $images = @($drives | Where-Object { $_.path -match "($($disk.Name)|$($disc.Name))$" })
            Assert-That ($images.Count -eq 0) 'no image'
            $built = @($drives | Where-Object { $_.kind -ne 'optical' -and 'usb', 'mmc' -notcontains $_.bus })
            Assert-That ($built.Count -eq 0) 'no drive of the machine itself'
        }
    }
    Test-Promise 'image/iso-detached' {
        $disc = New-Disc
        Invoke-Unmoor 0 @('eject', $disc.Letter)
        Assert-That (-not (Test-Attached $disc)) 'detached'
    }
    Test-Promise 'image/vhdx-detached' {
        $disk = New-Disk ntfs -Extension vhdx
        Invoke-Unmoor 0 @('eject', $disk.Letter)
        Assert-That (-not (Test-Attached $disk)) 'detached'
    }
    Test-Promise 'image/on-the-drive' {
        $disk = New-Disk ntfs
        $disc = New-Disc -In "$($disk.Letter)\"
        Invoke-Unmoor 0 @('eject', $disk.Letter)
        Assert-That (-not (Test-Attached $disk)) 'detached'
    }
    Test-Promise 'image/named' {
        $disk = New-Disk ntfs
        $disc = New-Disc -In "$($disk.Letter)\"
        Assert-Says (Invoke-Unmoor 3 @('who', $disk.Letter)) 'disc.iso'
    }
    Test-Promise 'elevate/administrator' {
        $disk = New-Disk fat32
        Invoke-Unmoor 0 @('eject', '--elevate', $disk.Letter)
    }
    foreach ($id in 'relocate/program-on-drive', 'relocate/blocked-pipes', 'relocate/other-holder') {
        Test-Promise $id {
            $disk = New-Disk fat32; $root = "$($disk.Letter)\"
            Copy-Item "$Folder\unmoor.exe" $root
            if ($id -like '*pipes') { 1..3 | ForEach-Object { Start-Holder @() } }
            if ($id -like '*holder') { Start-Holder 'read', "$($disk.Letter)\letter.txt" }
            $code = if ($id -like '*holder') { 3 } else { 0 }
            Wait-Unmoor (Start-Unmoor 'eject', '\' -From $root -File ($root + 'unmoor.exe')) $code
        }
    }
    Skip-Promise 'needs a USB bus' @(
        'all-removable/kinds', 'kind/usb-disk-named', 'attach/list', 'attach/code-47', 'attach/code-21',
        'remove/without-administrator', 'remove/without-administrator-eject',
        'remove/without-administrator-veto', 'remove/first', 'remove/not-mounted-again',
        'remove/eject-second', 'remove/eject-second-stays-down', 'remove/stick-refuses', 'remove/stick-lies',
        'remove/power-off', 'remove/own-handles-closed', 'remove/veto-named', 'remove/veto-passes',
        'remove/remote-session', 'remove/remote-session-user', 'remove/node-without-removable',
        'remove/subtree-veto-passes',
        'remove/node-of-uas', 'remove/card-reader'
    )
    Skip-Promise 'needs a drive of that kind' @(
        'kind/fixed-disk-asked', 'kind/floppy-asked', 'kind/sd-card', 'eject/empty-drive',
        'eject/disc-spins-up', 'eject/live-file-system', 'eject/bitlocker-locked'
    )
    Skip-Promise 'needs a controller of that kind' 'all-removable/hot-plug-sata', 'remove/never-a-controller'
    Skip-Promise 'needs a drive that is faulty or pulled out' @(
        'eject/removal-locked', 'eject/removal-not-allowed-without-need', 'eject/io-error', 'eject/paging-device',
        'eject/pulled-out', 'eject/pulled-out-leaving', 'eject/wrong-disk', 'eject/performance-counters'
    )
    Skip-Promise 'needs a service that has a file open' @(
        'kill/service', 'kill/service-not-without-option', 'kill/service-remains'
    )
    Skip-Promise 'a person has to agree' 'elevate/runas', 'elevate/failure'
}

# --- Run --------------------------------------------------------------------------------------------------------

New-Item -ItemType Directory -Path $Folder | Out-Null
try {
    Copy-Item $Program "$Folder\unmoor.exe"
    Copy-Item $Holder "$Folder\hold.exe"
    & icacls.exe $Folder /grant '*S-1-5-32-545:(OI)(CI)RX' | Out-Null
    $script:Password = ConvertTo-SecureString ('Aa1!' + [guid]::NewGuid().ToString('N')) -AsPlainText -Force
    New-LocalUser -Name $User -Password $script:Password -Description 'test of unmoor' | Out-Null
    Add-LocalGroupMember -SID 'S-1-5-32-545' -Member $User
    Test-Recipe
    Test-Locks
    Test-Who
    Test-Names
    Test-Devices
}
finally {
    Remove-Fixtures
    Remove-LocalUser -Name $User -ErrorAction SilentlyContinue
    Remove-Item -Path $Folder -Recurse -Force -ErrorAction SilentlyContinue
}
Write-Output ("{0} pass, {1} fail, {2} skipped" -f $script:Counts.pass, $script:Counts.FAIL, $script:Counts.skip)
if ($script:Counts.FAIL -gt 0 -or $script:Counts.pass -eq 0) { exit 1 }
